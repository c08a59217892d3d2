//! The terminal that the program shares with the tool, and which of them is in front.

use crate::ending::Ending;
use crate::supervisor::config::Group;
use crate::talk::problem::Problem;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::os::fd::OwnedFd;

/// The terminal that the program shares with the launcher.
pub(super) struct Front {
    pub(super) terminal: OwnedFd,
    /// Whether the program has a group of its own.
    pub(super) is_own: bool,
    /// That group, once it is known.
    pub(super) group: Option<Pid>,
}

impl Front {
    pub(super) fn new(terminal: OwnedFd, group: Group) -> Self {
        Self {
            terminal,
            is_own: group != Group::Launchers,
            group: None,
        }
    }

    pub(super) fn is_in_front(&self, group: Pid) -> bool {
        tcgetpgrp(&self.terminal).is_ok_and(|front| front == group)
    }

    /// Puts the launcher's own group in front. The kernel sends SIGTTOU for this to a group
    /// that is not in front; it is blocked.
    pub(super) fn come_to_front(&self) {
        let _ = tcsetpgrp(&self.terminal, getpgrp());
    }

    /// At the end of the session: gives the terminal back to the other processes of the job,
    /// and passes on the Ctrl+C that has ended the program, as a terminal would.
    pub(super) fn come_back(&self, ending: &Result<Ending, Problem>) {
        let Some(group) = self.group.filter(|&group| self.is_in_front(group)) else {
            return;
        };
        debug_assert!(self.is_own, "{group} is the launcher's");
        self.come_to_front();
        if matches!(ending, Ok(Ending::Signal(libc::SIGINT))) {
            let _ = kill(Pid::from_raw(0), Signal::SIGINT);
        }
    }
}
