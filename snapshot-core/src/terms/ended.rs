//! How a live branch ended: one type and one wording for the wire, events, reports and the
//! library.
//!
//! Context: AS-SAFE, but for the wording, which is for people.

use super::signal_name::SignalNumber;

/// How a live branch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// The program, or a second terminal, asked to revert.
    Reverted,
    /// Ctrl+C.
    Interrupted,
}

impl Ended {
    /// The two numbers for it in a message.
    pub const fn to_numbers(self) -> (u8, i32) {
        match self {
            Self::Exited(code) => (0, code),
            Self::Killed(signal) => (1, signal),
            Self::Reverted => (2, 0),
            Self::Interrupted => (3, 0),
        }
    }

    /// Back from its numbers.
    pub const fn from_numbers(how: u8, number: i32) -> Option<Self> {
        Some(match how {
            0 => Self::Exited(number),
            1 => Self::Killed(number),
            2 => Self::Reverted,
            3 => Self::Interrupted,
            _ => return None,
        })
    }

    /// As waitid(2) tells it of a child that has ended: its code (CLD_EXITED or other) and status.
    #[cfg(feature = "std")]
    pub(crate) const fn of_child(code: i32, status: i32) -> Self {
        if code == libc::CLD_EXITED {
            Self::Exited(status)
        } else {
            Self::Killed(status)
        }
    }

    /// The exit code, if it exited.
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that killed it, if one did.
    pub const fn signal(self) -> Option<i32> {
        match self {
            Self::Killed(signal) => Some(signal),
            _ => None,
        }
    }
}

/// A fragment after "the branch".
#[allow(clippy::disallowed_macros, reason = "for people: no handler shows one")]
impl core::fmt::Display for Ended {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with status {code}"),
            Self::Killed(signal) => write!(f, "was killed by {}", SignalNumber(*signal)),
            Self::Reverted => f.write_str("was given up"),
            Self::Interrupted => f.write_str("was interrupted"),
        }
    }
}
