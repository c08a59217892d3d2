//! Job control and the window: Ctrl+Z and `fg` for the whole session, and its size.
//!
//! If the launcher owns the terminal, the program is in front of a terminal of its own. If they
//! share a terminal the program still has its own group, and the launcher puts that in front
//! whenever a shell has put the launcher's group there. But a pipeline belongs in front
//! together: there the program is in the launcher's group.
#![expect(unsafe_code, reason = "sets a window's size")]

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid, tcsetpgrp};

use snapshot_core::process::lineage::{self, Lineage};

use super::state::Session;
use crate::processes::family::parent_of;
use crate::talk::channel::ToSupervisor;
use crate::terminal::raw::Raw;
use crate::terminal::size::size_of;

nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, libc::winsize);

impl Session {
    /// Whether the launcher must put the program's group in front.
    pub(super) fn puts_in_front(&self) -> bool {
        self.front.as_ref().is_some_and(|front| front.is_own)
    }

    /// Puts the program's group in front if the launcher's is there. True if it was.
    pub(super) fn put_in_front(&self) -> bool {
        let Some(front) = &self.front else {
            return false;
        };
        match front.group {
            Some(group) if front.is_in_front(getpgrp()) => {
                tcsetpgrp(&front.terminal, group).is_ok()
            }
            _ => false,
        }
    }

    /// Whether the sender is the program or its descendant, and shares a group with the
    /// launcher: then the signal was not meant for this process.
    pub(super) fn is_of_the_programs(&self, sender: i32) -> bool {
        let is_shared = self.front.as_ref().is_some_and(|front| !front.is_own);
        is_shared
            && sender != self.supervisor.as_raw()
            && lineage::of(sender, &[self.supervisor.as_raw()]) == Lineage::Below
    }

    /// A stop of the session, by the terminal or by a signal.
    pub(super) fn stop(&mut self, from_kernel: bool) {
        // If they share a group, the program has had the terminal's own stop.
        let is_shared = self.pty.is_none() && !self.puts_in_front();
        if !is_shared || !from_kernel {
            self.say(&ToSupervisor::Stop);
        }
        if is_shared {
            let _ = raise(Signal::SIGSTOP);
        }
    }

    /// The program was stopped.
    pub(super) fn stopped(&mut self, signal: i32) {
        // The program used the terminal before its group was in front: a shell has put the
        // running job there without a signal.
        if matches!(signal, libc::SIGTTIN | libc::SIGTTOU) && self.put_in_front() {
            self.say(&ToSupervisor::Continue);
            return;
        }
        if self.puts_in_front() {
            self.suspend_shared();
        } else {
            self.suspend();
        }
    }

    /// The same for a shared terminal: the shell takes it from us.
    fn suspend_shared(&mut self) {
        let Some(front) = &self.front else { return };
        if !somebody_can_resume() {
            self.say(&ToSupervisor::Continue);
            return;
        }
        if front.group.is_some_and(|group| front.is_in_front(group)) {
            front.come_to_front();
        }
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
        let _ = raise(Signal::SIGSTOP);
    }

    pub(super) fn follow_size(&mut self) {
        if let Some(pty) = &self.pty
            && pty.raw.is_some()
            && let Some(size) = size_of(&io::stdin())
        {
            // SAFETY: the request reads one winsize, a live local.
            let _ = unsafe { set_size(pty.master.as_raw_fd(), &raw const size) };
        }
    }

    /// The program was stopped in its own terminal, so the whole session stops.
    pub(super) fn suspend(&mut self) {
        let Some(pty) = &mut self.pty else { return };
        let Some(raw) = &mut pty.raw else { return };
        if !somebody_can_resume() {
            // Like the kernel: a stop that nobody could end does not happen.
            self.say(&ToSupervisor::Continue);
            return;
        }
        pty.to_screen.write();
        raw.leave();
        // The rest of the job stops too, as with a terminal.
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
        let _ = raise(Signal::SIGSTOP);
    }

    pub(super) fn resume(&mut self) {
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut())
            && Raw::in_front()
        {
            raw.enter();
        }
        self.put_in_front();
        self.follow_size();
        self.say(&ToSupervisor::Continue);
    }
}

/// Whether this process's group is not orphaned: some process in it has a parent in the same
/// session but in another group. A shell is such a parent.
///
/// It looks only at this process and its ancestors: a shell is the parent of the first process
/// in the job.
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
