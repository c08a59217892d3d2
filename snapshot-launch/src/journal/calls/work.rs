//! One call that waits, and what is needed to serve it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::umask;

use crate::journal::{
    caller_memory::Memory,
    callers::{Caller, Standing},
    credentials::Wardrobe,
    levels::Levels,
    news::News,
    paths::{self, Base, Entry, Found},
    scope::Scope,
    stat::Stat,
};
use std::os::fd::OwnedFd;

/// How a call ends.
#[derive(Debug)]
pub(in crate::journal) enum Reply {
    /// The kernel carries it out.
    Continue,
    /// It is done, with this result.
    Done(i64),
    /// It is done, and its result is this descriptor.
    Give {
        fd: OwnedFd,
        close_on_exec: bool,
        /// The file is new, under this name.
        made: Option<Entry>,
    },
}

/// The call, its caller and the journal's means.
pub(in crate::journal) struct Work<'a> {
    pub(in crate::journal) caller: &'a Caller,
    pub(in crate::journal) memory: Memory,
    pub(in crate::journal) wardrobe: &'a Wardrobe,
    pub(in crate::journal) levels: &'a mut Levels,
    pub(in crate::journal) scope: &'a mut Scope,
    pub(in crate::journal) news: &'a mut News,
}

impl Work<'_> {
    /// Whether the journal carries out calls for this caller. Else it only writes down what
    /// they change.
    pub(in crate::journal) fn emulates(&self) -> bool {
        !matches!(self.caller.standing, Standing::Apart(_))
    }

    /// Does something with the caller's rights.
    ///
    /// # Errors
    /// What the caller would get.
    pub(super) fn as_caller<T>(&self, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        match &self.caller.standing {
            Standing::Other(credentials) => self
                .wardrobe
                .wear(credentials, act)
                .map_err(|error| errno_of(&error))?,
            Standing::Same | Standing::Apart(_) => act(),
        }
    }

    /// The entry that a path names, with the caller's rights.
    ///
    /// # Errors
    /// What the caller would get.
    pub(super) fn entry(&self, base: Base, path: &[u8], follow: bool) -> Result<Found, Errno> {
        let start = paths::start(self.caller, base, path)?;
        self.as_caller(|| paths::entry(self.caller, start, path, follow))
    }

    /// The object that a path leads to; `None` in `/proc`.
    ///
    /// # Errors
    /// As above.
    pub(super) fn object(
        &self,
        base: Base,
        path: &[u8],
        follow: bool,
    ) -> Result<Option<OwnedFd>, Errno> {
        let start = paths::start(self.caller, base, path)?;
        self.as_caller(|| paths::object(self.caller, start, path, follow))
    }

    /// The same with the caller's umask.
    ///
    /// # Errors
    /// As above.
    pub(super) fn make_as_caller<T>(
        &self,
        act: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        umask(self.caller.umask);
        self.as_caller(act)
    }

    /// Whether a revert brings this back.
    ///
    /// # Errors
    /// If nothing can be learnt of it.
    pub(super) fn covers(&mut self, fd: BorrowedFd<'_>, stat: &Stat) -> Result<bool, Errno> {
        self.scope.covers(fd, stat, self.news)
    }
}

/// A path for calls that take no descriptor, or not this kind.
pub(in crate::journal) fn path_of(fd: BorrowedFd<'_>) -> CString {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    CString::new(path).unwrap_or_default()
}

pub(in crate::journal) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
