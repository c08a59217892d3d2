//! Files, their locks, and terminals.
//!
//! Context: AS-SAFE.

use super::{memory::FileContents, reasons::Sharing};
use crate::terms::{Kind, Why};

/// A regular file, a directory, or memory with a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// It is open for writing.
    pub can_write: bool,
    /// It is stdout or stderr, or the program was started with it for writing.
    pub is_output: bool,
    /// There are locks on it by this descriptor.
    pub has_locks: bool,
    /// It can be opened again with the same rights.
    pub can_be_reopened: bool,
    /// Who brings its contents back.
    pub file_contents: FileContents,
}

impl Default for File {
    fn default() -> Self {
        Self {
            can_write: false,
            is_output: false,
            has_locks: false,
            can_be_reopened: true,
            file_contents: FileContents::Copied,
        }
    }
}

impl File {
    /// Why writes to it stay written.
    pub fn contents(&self, kind: Kind) -> Option<Why> {
        match self {
            _ if kind != Kind::File || !self.can_write => None,
            Self {
                is_output: true, ..
            } => Some(Why::Output),
            Self {
                file_contents: FileContents::Kept,
                ..
            } => None,
            _ => Some(Why::Contents),
        }
    }

    /// Why its locks don't end as the program closes it.
    pub fn last_close(&self, kind: Kind, sharing: Sharing) -> Option<Why> {
        let is_on_disk = matches!(kind, Kind::File | Kind::Directory);
        match self {
            _ if !self.has_locks || sharing.is_hidden => None,
            Self {
                can_be_reopened: false,
                ..
            } => Some(Why::Held),
            // Once the branch has closed it, the other processes have the lock.
            _ if sharing.is_elsewhere && is_on_disk => Some(Why::Elsewhere),
            _ => None,
        }
    }
}

/// Why locks are not as before, if there are any: they come back, but another process may be
/// first.
pub fn locks(have_any: bool) -> Option<Why> {
    have_any.then_some(Why::Retaken)
}

/// Why the unreadable locks of a process can't be recorded.
pub const fn unread_locks(has_ended: bool) -> Why {
    if has_ended { Why::Ended } else { Why::Hidden }
}

/// A terminal, either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminal {
    /// It is the master end.
    pub is_master: bool,
    /// The program has its master end.
    pub has_own_master: bool,
    /// The program was started with it, so it is the user's.
    pub is_inherited: bool,
    /// Something waits to be read.
    pub has_unread: bool,
}

impl Terminal {
    /// Why its unread data does not come back: the kernel shows it only to a reader, who takes
    /// it.
    pub fn unread(&self) -> Option<Why> {
        (self.has_unread && (self.is_master || self.has_own_master)).then_some(Why::Unread)
    }

    /// Why its other end does not hang up as the program closes it.
    pub fn last_close(&self, sharing: Sharing) -> Option<Why> {
        (self.is_master && !self.is_inherited).then(|| sharing.why().unwrap_or(Why::Held))
    }
}
