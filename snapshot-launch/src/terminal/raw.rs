//! Raw mode of the outer terminal, as a guard: whatever happens, it restores the settings.
//!
//! After a fork the guard must not be dropped in the child; the launcher makes it after
//! forking.

use std::io;
use std::os::fd::AsFd;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// The outer terminal's settings, and whether raw mode is on.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
    on: bool,
}

impl Raw {
    /// Not raw yet.
    pub(crate) fn new(before: Termios) -> Self {
        Self { before, on: false }
    }

    /// Whether this process is in front: only then may it read and set the terminal.
    pub(crate) fn in_front() -> bool {
        tcgetpgrp(io::stdin().as_fd()).is_ok_and(|group| group == getpgrp())
    }

    /// Enters raw mode: every key goes to the program's own terminal, which knows what Ctrl+C
    /// means to it.
    pub(crate) fn enter(&mut self) {
        let mut raw = self.before.clone();
        cfmakeraw(&mut raw);
        self.on = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &raw).is_ok();
    }

    /// Restores the terminal.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.on) {
            // Not DRAIN, which would wait for a hung terminal.
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.before);
        }
    }

    /// Whether raw mode is in force.
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
    }
}
