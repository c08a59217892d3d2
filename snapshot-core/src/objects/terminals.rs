//! Terminals: their settings, and the size of a terminal that the program has made itself. The
//! launcher puts back the foreground group.
//!
//! Context: AS-SAFE.

use super::{
    descriptors::{Descriptors, Group},
    recording::{Object, Recording},
};
use crate::kernel::records::Records;
use crate::sys::{self, Errno, Terminal, WindowSize};
use crate::terms::{Kind, comes_back};

#[derive(Clone, Copy)]
struct Settings {
    fd: i32,
    settings: Terminal,
    /// Only of a master: the user sets the size of any other.
    size: Option<WindowSize>,
}

/// The settings of every open terminal.
pub(super) struct Terminals(Records<Settings>);

/// Names unread bytes in terminals that the program has made itself, at either end: reading them
/// would take them.
fn name_what_waits(recording: &mut Recording<'_>) {
    let mut number = 0;
    while let Some(&group) = recording.open.groups().get(number) {
        number += 1;
        if group.kind != Kind::Terminal || group.flags & libc::O_PATH != 0 {
            continue;
        }
        let waiting = sys::waiting_bytes(group.fd).unwrap_or(0);
        if waiting == 0 {
            continue;
        }
        let terminal = comes_back::Terminal {
            is_master: is_master(&group),
            has_own_master: has_own_master(recording.open, &group),
            has_unread: true,
            ..comes_back::Terminal::default()
        };
        if let Some(why) = terminal.unread() {
            recording.name(Kind::Terminal, why, group.fd, waiting as u64);
        }
    }
}

fn is_master(group: &Group) -> bool {
    sys::terminal_number(group.fd).is_ok()
}

/// Whether the program also has the terminal's master.
fn has_own_master(open: &Descriptors, group: &Group) -> bool {
    const FIRST_MAJOR: u32 = 136;
    const MINORS: u32 = 256;
    let Ok(stat) = sys::fstat(group.fd) else {
        return false;
    };
    let Some(block) = libc::major(stat.special).checked_sub(FIRST_MAJOR) else {
        return false;
    };
    let number = block * MINORS + libc::minor(stat.special);
    open.of_kind(Kind::Terminal)
        .any(|(_, other)| sys::terminal_number(other.fd) == Ok(number))
}

impl Object for Terminals {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        name_what_waits(recording);
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
            // Leaves unchanged settings alone: only a foreground process may set them.
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
