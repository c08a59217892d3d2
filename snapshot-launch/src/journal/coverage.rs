//! What a keep has to say beside success: a revert won't bring this back, and why.
//!
//! An *error* of a keep is the program's: its call fails with it and changes nothing. What is
//! not covered is the user's: the call goes on, and the session names the loss.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::sys;

/// Whether a revert will bring back what was to be kept.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not covered must be named"]
pub(crate) enum Coverage {
    Covered,
    Not(NotCovered),
}

/// What will be lost, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotCovered {
    pub(crate) path: PathBuf,
    pub(crate) loss: Loss,
}

/// What will be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The journal may not read the file.
    Content { why: String },
    /// It comes back as a copy, with another inode number.
    Identity { why: String },
    /// It goes for good.
    Existence { why: String },
    /// It can't be moved away and brought back.
    Names { why: String },
}

impl Loss {
    pub(super) fn content(error: &io::Error) -> Self {
        Self::Content {
            why: error.to_string(),
        }
    }

    pub(super) fn identity(error: &io::Error) -> Self {
        Self::Identity {
            why: error.to_string(),
        }
    }

    pub(super) fn existence(error: &io::Error) -> Self {
        Self::Existence {
            why: error.to_string(),
        }
    }

    pub(super) fn names(why: impl fmt::Display) -> Self {
        Self::Names {
            why: why.to_string(),
        }
    }

    /// This loss, of what a descriptor is open on.
    pub(super) fn of(self, pin: BorrowedFd<'_>) -> Coverage {
        Coverage::Not(NotCovered {
            path: sys::path_of(pin),
            loss: self,
        })
    }
}

impl Loss {
    /// This loss, of what a directory has under a name.
    pub(super) fn under(self, dir: BorrowedFd<'_>, name: &OsStr) -> Coverage {
        Coverage::Not(NotCovered {
            path: sys::path_of(dir).join(name),
            loss: self,
        })
    }
}

impl fmt::Display for NotCovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.loss {
            Loss::Content { why } => write!(f, "its content can't be kept: {why}"),
            Loss::Identity { why } => {
                write!(f, "it will come back with another inode number: {why}")
            }
            Loss::Existence { why } => write!(f, "it can't be kept when it is removed: {why}"),
            Loss::Names { why } => write!(f, "its names can't be kept: {why}"),
        }
    }
}
