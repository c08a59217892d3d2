//! Terminals: their settings, and the size that a program gives to one whose other end it
//! has. The foreground group is the launcher's to put back.
//!
//! Context: AS-SAFE.

use super::descriptors::Descriptors;
use super::kinds::Kind;
use super::{Object, Recording};
use crate::records::Records;
use crate::sys::{self, Errno, Terminal, WindowSize};

#[derive(Clone, Copy)]
struct Settings {
    fd: i32,
    settings: Terminal,
    /// Of one whose other end is the program's: any other's is its user's.
    size: Option<WindowSize>,
}

/// Of every terminal that is open.
pub(super) struct Terminals(Records<Settings>);

impl Object for Terminals {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut terminals = Records::growing();
        let mut before = None;
        for (_, group) in recording.open.of_kind(Kind::Terminal) {
            let file = (group.device, group.inode);
            // All masters have one inode, and each is a terminal of its own.
            let is_master = sys::terminal_number(group.fd).is_ok();
            if before.replace(file) == Some(file) && !is_master {
                continue;
            }
            if let Ok(settings) = sys::terminal(group.fd) {
                terminals.push(Settings {
                    fd: group.fd,
                    settings,
                    size: is_master.then(|| sys::window_size(group.fd).ok()).flatten(),
                })?;
            }
        }
        Ok(Self(terminals))
    }

    fn restore(&self, _: &Descriptors) -> u32 {
        let mut failed = 0;
        for terminal in self.0.entries() {
            // One that is as it was is left alone: to set it would discard nothing, but
            // needs to be in the foreground.
            if sys::terminal(terminal.fd) != Ok(terminal.settings) {
                failed += u32::from(sys::set_terminal(terminal.fd, &terminal.settings).is_err());
            }
            if let Some(size) = terminal.size
                && sys::window_size(terminal.fd) != Ok(size)
            {
                failed += u32::from(sys::set_window_size(terminal.fd, size).is_err());
            }
        }
        failed
    }

    fn release(self) {
        self.0.release();
    }
}
