//! Job control: whether there is a shell that would let a stopped session go on.

use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};

use crate::supervisor::parent_of;

/// Whether this process's group is not orphaned: some process in it has a parent in the
/// same session but in another group, which is what a shell is to its jobs.
///
/// Only this process and those that it descends from are looked at: a shell is the parent
/// of the first of them.
pub(crate) fn somebody_can_resume() -> bool {
    let group = getpgrp();
    let Ok(session) = getsid(None) else {
        return false;
    };
    let mut pid = getpid();
    while let Some(parent) = parent_of(pid.as_raw()).map(Pid::from_raw) {
        if getsid(Some(parent)) != Ok(session) {
            return false;
        }
        if getpgid(Some(parent)) != Ok(group) {
            return true;
        }
        pid = parent;
    }
    false
}
