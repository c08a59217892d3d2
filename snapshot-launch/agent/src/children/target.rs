//! Which children a wait is for.
//!
//! Context: AS-SAFE.

use core::ffi::c_int;

use snapshot_core::process::{
    children::{Index, Table},
    pidfd,
};
use snapshot_core::sys;

/// Which children a wait is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Any,
    Child(c_int),
    Group(c_int),
    OwnGroup,
    /// The process of a pidfd.
    Handle(c_int),
}

impl Target {
    /// Whether it is for one child alone.
    pub(super) fn is_one(self) -> bool {
        matches!(self, Self::Child(_) | Self::Handle(_))
    }

    /// Whether that child has ended; the supervisor may not have reaped it yet. The program may
    /// know of the end from a pidfd already, and rely on it.
    pub(super) fn has_ended(self) -> bool {
        match self {
            Self::Child(pid) => pidfd::has_process_ended(pid),
            Self::Handle(descriptor) => pidfd::has_ended(descriptor),
            Self::Any | Self::Group(_) | Self::OwnGroup => false,
        }
    }

    /// The process of the pidfd, if it is one: for [`Target::includes`].
    pub(super) fn named(self) -> Option<pidfd::Named> {
        match self {
            Self::Handle(descriptor) => pidfd::named(descriptor),
            _ => None,
        }
    }

    /// Whether the wait is for this adopted child.
    pub(super) fn includes(self, table: &Table, index: Index, named: Option<pidfd::Named>) -> bool {
        let child = table.child(index);
        match self {
            Self::Any => true,
            Self::Child(pid) => child.pid == pid,
            // It may have left its group since the snapshot.
            Self::Group(group) => sys::group_of(child.pid).unwrap_or(child.group) == group,
            Self::OwnGroup => {
                sys::group_of(child.pid).ok().or(Some(child.group)) == sys::group_of(0).ok()
            }
            Self::Handle(_) => named.is_some_and(|named| {
                (child.handle != 0 && child.handle == named.inode) || named.pid == Some(child.pid)
            }),
        }
    }
}
