//! Job control and the window: Ctrl+Z and `fg` for the whole session, and its size.
#![expect(unsafe_code, reason = "sets a window's size")]

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};

use super::run::Session;
use crate::channel::ToSupervisor;
use crate::supervisor::{parent_of, size_of};
use crate::terminal::raw::Raw;

nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, libc::winsize);

impl Session {
    pub(super) fn follow_size(&mut self) {
        if let Some(pty) = &self.pty
            && pty.raw.is_some()
            && let Some(size) = size_of(&io::stdin())
        {
            // SAFETY: the request reads one winsize, a live local.
            let _ = unsafe { set_size(pty.master.as_raw_fd(), &raw const size) };
        }
    }

    /// The program was stopped in its terminal: so is the whole session.
    pub(super) fn suspend(&mut self) {
        let Some(pty) = &mut self.pty else { return };
        let Some(raw) = &mut pty.raw else { return };
        if !somebody_can_resume() {
            // As the kernel has it: a stop that nobody could end does not happen.
            self.say(&ToSupervisor::Continue);
            return;
        }
        pty.to_screen.write();
        raw.leave();
        // Whoever is in the same job is stopped too, as a terminal does it.
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
        let _ = raise(Signal::SIGSTOP);
    }

    pub(super) fn resume(&mut self) {
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut())
            && Raw::in_front()
        {
            raw.enter();
        }
        self.follow_size();
        self.say(&ToSupervisor::Continue);
    }
}

/// Whether this process's group is not orphaned: some process in it has a parent in the
/// same session but in another group, which is what a shell is to its jobs.
///
/// Only this process and those that it descends from are looked at: a shell is the parent
/// of the first of them.
fn somebody_can_resume() -> bool {
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
