//! Job control and the window: Ctrl+Z and `fg` for the whole session, and its size.
//!
//! Where the launcher owns the terminal, the program is in front of its own one. Where both
//! share a terminal the program has a group of its own there too, which the launcher puts in
//! front whenever a shell has put the launcher's there. But in a pipeline all belong in
//! front together: there the program is in the launcher's group.
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
    /// Whether it is for the launcher to put the program's group in front.
    pub(super) fn puts_in_front(&self) -> bool {
        self.front.as_ref().is_some_and(|front| front.is_own)
    }

    /// Puts the program's group in front where the launcher's is. True where it was.
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

    /// Whether a signal comes from the program or what it has started, and is in a group
    /// with the launcher: then it was not meant for this process.
    pub(super) fn is_of_the_programs(&self, sender: i32) -> bool {
        let is_shared = self.front.as_ref().is_some_and(|front| !front.is_own);
        is_shared
            && sender != self.supervisor.as_raw()
            && lineage::of(sender, &[self.supervisor.as_raw()]) == Lineage::Below
    }

    /// Somebody wants the session to stop: the terminal, or who has sent the signal.
    pub(super) fn stop(&mut self, from_kernel: bool) {
        // In a group with the program, which has the terminal's own.
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
        // It has looked at the terminal before its group was in front: a shell has put the
        // job there without a word, as it does with one that runs.
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

    /// The same for a terminal that is shared: the shell takes it from us.
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
        self.put_in_front();
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
