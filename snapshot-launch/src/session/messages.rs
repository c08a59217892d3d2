//! The launcher's messages to the person, up to the last ones at the end.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::state::Session;
use crate::poll_timeout;
use crate::talk::timeline_view::printable;
use crate::terminal::modes::Set;

/// How long the last messages may take.
pub(super) const LAST_MESSAGES: Duration = Duration::from_secs(1);

impl Session {
    /// Prints a message to the person. The program chooses names in it, and callers choose
    /// labels: this escapes what would steer the terminal or begin a line.
    pub(super) fn report(&mut self, text: &str) {
        let (start, end) = if self.colour {
            ("\x1b[36m", "\x1b[0m")
        } else {
            ("", "")
        };
        let text = printable(text);
        let line = format!("{start}[snapshot]{end} {text}");
        match &mut self.pty {
            Some(pty) if self.reports_on_screen => {
                if !pty.to_screen.ends_line() {
                    pty.to_screen.push(b"\r\n");
                }
                pty.to_screen.push(line.as_bytes());
                pty.to_screen.push(b"\r\n");
                pty.to_screen.write();
            }
            _ => {
                self.stderr.push(line.as_bytes());
                self.stderr.push(b"\n");
            }
        }
    }

    /// Gives a slow reader of the events the remaining time.
    fn last_events(&mut self) {
        let until = Instant::now() + LAST_MESSAGES;
        while let Some(events) = self.log.awaits_room() {
            let left = until.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(events, PollFlags::POLLOUT)];
            if left.is_zero() || poll(&mut fds, poll_timeout::lasting(Some(left))) == Ok(0) {
                break;
            }
            let _ = self.log.go_on();
        }
        // The last try, if nothing announces room.
        let _ = self.log.go_on();
        if let Some(text) = self.log.unwritten() {
            self.report(&text);
        }
    }

    /// Writes all waiting messages, as far as anybody reads them, and restores the terminal.
    pub(super) fn last_messages(&mut self) {
        if let Some(pty) = &mut self.pty {
            pty.drain();
            let bytes = pty.modes.go_to(&Set::default());
            pty.to_screen.push(&bytes);
        }
        self.last_events();
        let until = Instant::now() + LAST_MESSAGES;
        loop {
            let outlets = [
                Some(&mut self.stderr),
                self.pty.as_mut().map(|pty| &mut pty.to_screen),
            ];
            let mut waiting = outlets
                .into_iter()
                .flatten()
                .filter(|outlet| outlet.is_waiting());
            let Some(outlet) = waiting.next() else { break };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut fds = [PollFd::new(outlet.as_fd(), PollFlags::POLLOUT)];
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, left) {
                Ok(0) => outlet.give_up(),
                Ok(_) => outlet.write(),
                Err(_) => {}
            }
        }
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut()) {
            raw.leave();
        }
    }
}
