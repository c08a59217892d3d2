//! The terminal's settings, foreground group and size: a take records them and a revert puts
//! them back, so that a branch that went raw and crashed leaves no trace.
//!
//! The supervisor blocks SIGTTOU: this lets a process that is not in front change a terminal.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::Signal;
use nix::sys::termios::{FlushArg, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use nix::unistd::{Pid, tcgetpgrp, tcsetpgrp};

use super::aspect::{Aspect, Resumed, Standstill};
use crate::refusal::Refusal;
use crate::terminal::size::size_of;
use snapshot_core::terms::Ended;

/// The terminal that takes record, if there is one.
#[derive(Debug)]
pub(crate) struct Screens {
    terminal: Option<OwnedFd>,
}

impl Screens {
    pub(crate) const fn of(terminal: Option<OwnedFd>) -> Self {
        Self { terminal }
    }

    /// Whether the launcher has to put its own group in front, as at the take.
    pub(crate) fn wants_the_launcher(&self, kept: &Option<Screen>) -> bool {
        let recorded = kept.as_ref().zip(self.terminal.as_ref());
        recorded.is_some_and(|(screen, terminal)| screen.is_the_launchers(terminal))
    }
}

impl Aspect for Screens {
    /// `None` if there is no terminal to record.
    type Kept = Option<Screen>;

    fn take(
        &mut self,
        _still: &mut Standstill<'_>,
        _earlier: &[&Option<Screen>],
    ) -> Result<Option<Screen>, Refusal> {
        Ok(self.terminal.as_ref().and_then(Screen::record))
    }

    fn revert(&mut self, kept: &Option<Screen>, ended: Ended) {
        if let Some((screen, terminal)) = kept.as_ref().zip(self.terminal.as_ref()) {
            screen.restore(terminal, ended == Ended::Interrupted);
        }
    }

    fn resumed(&mut self, kept: &Option<Screen>, news: &mut Resumed<'_>) {
        if let Some((screen, terminal)) = kept.as_ref().zip(self.terminal.as_ref())
            && screen.size != dimensions(terminal)
            && let Some(live) = news.live
        {
            live.signal(Signal::SIGWINCH as i32);
        }
    }
}

/// A terminal at one moment.
pub(crate) struct Screen {
    settings: Termios,
    foreground: Option<Pid>,
    size: Option<(u16, u16)>,
}

fn dimensions(terminal: &OwnedFd) -> Option<(u16, u16)> {
    size_of(terminal).map(|size| (size.ws_row, size.ws_col))
}

impl Screen {
    /// The terminal as it is now; `None` if that can't be read.
    fn record(terminal: &OwnedFd) -> Option<Self> {
        Some(Self {
            settings: tcgetattr(terminal.as_fd()).ok()?,
            foreground: tcgetpgrp(terminal.as_fd()).ok(),
            size: dimensions(terminal),
        })
    }

    /// Whether the launcher's own group was in front and another one is now. It has no number
    /// in the namespace, so only the launcher can put it back.
    fn is_the_launchers(&self, terminal: &OwnedFd) -> bool {
        let outside = Some(Pid::from_raw(0));
        self.foreground == outside && tcgetpgrp(terminal.as_fd()).ok() != outside
    }

    /// Puts settings and foreground group back. `flush` drops unread input, as a terminal does
    /// on Ctrl+C.
    fn restore(&self, terminal: &OwnedFd, flush: bool) {
        if let Some(group) = self.foreground {
            // Fails if the group is gone: its leader was in the dead branch.
            let _ = tcsetpgrp(terminal.as_fd(), group);
        }
        let _ = tcsetattr(terminal.as_fd(), SetArg::TCSANOW, &self.settings);
        if flush {
            let _ = tcflush(terminal.as_fd(), FlushArg::TCIFLUSH);
        }
    }
}
