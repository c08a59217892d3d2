//! One call that waits, and what is needed to serve it.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};

use crate::journal::{
    by_descriptor::errno_of,
    call_under_way::{CallUnderWay, Trace},
    caller_memory::Memory,
    callers::{Caller, Standing},
    credentials::Wardrobe,
    guards::Guards,
    levels::Levels,
    news::News,
    paths::{self, Base, Entry, Found},
    scope::Scope,
    stat::{FileId, Stat},
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
    pub(in crate::journal) guards: &'a mut Guards,
    pub(in crate::journal) scope: &'a mut Scope,
    pub(in crate::journal) news: &'a mut News,
    pub(in crate::journal) under_way: CallUnderWay,
    /// What a journal that has died over this call has left.
    pub(in crate::journal) trace: Trace,
}

impl Work<'_> {
    /// Whether the journal carries out calls for this caller. Else it only writes down what
    /// they change.
    pub(in crate::journal) fn emulates(&self) -> bool {
        !matches!(self.caller.standing, Standing::Apart(_))
    }

    /// From here on, what the call asks for may be done.
    pub(super) fn acts(&self) {
        self.under_way.acts(None);
    }

    /// The same for a rename of this object.
    pub(super) fn moves(&self, id: FileId) {
        self.under_way.acts(Some(id));
    }

    /// Does something with the caller's rights.
    ///
    /// # Errors
    /// What the caller would get.
    pub(super) fn as_caller<T>(&self, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        match &self.caller.standing {
            Standing::Other(credentials) => self
                .wardrobe
                .wear(credentials)
                .map_err(|error| errno_of(&error))?,
            Standing::Same | Standing::Apart(_) => self.wardrobe.wear_own(),
        }
        act()
    }

    /// The file behind one of the caller's descriptors.
    ///
    /// # Errors
    /// EBADF if it has no such descriptor.
    pub(super) fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        self.wardrobe.wear_own();
        self.caller.descriptor(number)
    }

    /// Whether the kernel sends the caller a signal for a file that grows too large.
    pub(super) fn limits_file_size(&self) -> bool {
        self.wardrobe.wear_own();
        self.caller.limits_file_size()
    }

    /// Whether the caller may unmount filesystems of the mount namespace that it is in.
    pub(super) fn may_unmount(&self) -> bool {
        self.wardrobe.wear_own();
        self.caller.may_unmount()
    }

    /// What is kept is kept with the journal's own rights, and without a caller's umask.
    pub(super) fn levels(&mut self) -> &mut Levels {
        self.wardrobe.wear_own();
        umask(Mode::empty());
        self.levels
    }

    /// The same for what the call asks for.
    ///
    /// # Errors
    /// As above.
    pub(super) fn act_as_caller<T>(
        &self,
        act: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.acts();
        self.as_caller(act)
    }

    /// The entry that a path names, with the caller's rights.
    ///
    /// # Errors
    /// What the caller would get.
    pub(super) fn entry(&self, base: Base, path: &[u8], follow: bool) -> Result<Found, Errno> {
        self.wardrobe.wear_own();
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
        self.wardrobe.wear_own();
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
        self.wardrobe.wear_own();
        self.scope.covers(fd, stat, self.news)
    }
}
