//! The terminal's settings, foreground group and size: recorded at take, put back on
//! revert, so that a branch that went raw and crashed leaves no trace.
//!
//! The supervisor has SIGTTOU blocked, which is what lets a process that is not in front
//! change a terminal.

#![expect(unsafe_code, reason = "asks a terminal for its size")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::termios::{FlushArg, SetArg, Termios, tcflush, tcgetattr, tcsetattr};
use nix::unistd::{Pid, tcgetpgrp, tcsetpgrp};

nix::ioctl_read_bad!(get_size, libc::TIOCGWINSZ, libc::winsize);

/// A terminal at one moment.
pub(crate) struct Screen {
    settings: Termios,
    foreground: Option<Pid>,
    size: Option<(u16, u16)>,
}

/// Rows and columns.
pub(crate) fn size_of(terminal: &impl AsRawFd) -> Option<libc::winsize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes one winsize, a live local.
    unsafe { get_size(terminal.as_raw_fd(), &raw mut size) }.ok()?;
    Some(size)
}

fn dimensions(terminal: &OwnedFd) -> Option<(u16, u16)> {
    size_of(terminal).map(|size| (size.ws_row, size.ws_col))
}

impl Screen {
    /// The terminal as it is now; `None` where that can't be read.
    pub(crate) fn record(terminal: &OwnedFd) -> Option<Self> {
        Some(Self {
            settings: tcgetattr(terminal.as_fd()).ok()?,
            foreground: tcgetpgrp(terminal.as_fd()).ok(),
            size: dimensions(terminal),
        })
    }

    /// Whether the launcher's own group was in front and another one is now: it has no
    /// number in a namespace, so only the launcher can put it back.
    pub(crate) fn is_the_launchers(&self, terminal: &OwnedFd) -> bool {
        let outside = Some(Pid::from_raw(0));
        self.foreground == outside && tcgetpgrp(terminal.as_fd()).ok() != outside
    }

    /// Puts settings and foreground group back. `flush` drops what was typed and not
    /// read, as a terminal does on Ctrl+C.
    pub(crate) fn restore(&self, terminal: &OwnedFd, flush: bool) {
        if let Some(group) = self.foreground {
            // Fails where the group is gone: then its leader was of the dead branch.
            let _ = tcsetpgrp(terminal.as_fd(), group);
        }
        let _ = tcsetattr(terminal.as_fd(), SetArg::TCSANOW, &self.settings);
        if flush {
            let _ = tcflush(terminal.as_fd(), FlushArg::TCIFLUSH);
        }
    }

    /// Whether the window has another size than it had.
    pub(crate) fn size_differs(&self, terminal: &OwnedFd) -> bool {
        self.size != dimensions(terminal)
    }
}
