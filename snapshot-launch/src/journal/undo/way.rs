//! The way to an object: directories that an ordinary user's program may have closed to their owner.
//! They are opened until the revert is done, and closed again by whoever ends it.
//!
//! The records have the modes of those that the branch has closed. Others lie on the way too: made in
//! the branch, or closed before the snapshot. The plan has their modes before they are opened.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::outcome::Outcome;
use super::plan;
use super::stop::step;
use super::trail::Trail;
use crate::journal::closed;
use crate::journal::records::Level;
use crate::journal::stat::Stat;
use crate::journal::store::Stores;
use crate::journal::sys;

/// The way, with what is known of it.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) trail: Trail,
}

impl Way {
    /// The directory in which a held object lies, open to its owner, and the object's name there.
    ///
    /// # Errors
    /// If there is no way, or it belongs to somebody else.
    pub(super) fn to(
        &mut self,
        pin: BorrowedFd<'_>,
        level: &Level,
        stores: &Stores,
    ) -> io::Result<(OwnedFd, OsString)> {
        let path = sys::path_of(pin);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ENOENT.into());
        };
        // A directory leads to the one above it, wherever both are.
        let dir = match Stat::of_fd(pin)?.is_directory() {
            true => sys::pin(pin, OsStr::new(".."))?,
            false => self.directory(parent, level, stores)?,
        };
        self.open(dir.as_fd(), level, stores)?;
        Ok((dir, name.to_owned()))
    }

    /// The directory with this path.
    fn directory(&mut self, path: &Path, level: &Level, stores: &Stores) -> io::Result<OwnedFd> {
        match sys::pin_directory(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EACCES.into());
        };
        let above = self.directory(parent, level, stores)?;
        self.open(above.as_fd(), level, stores)?;
        sys::pin(above.as_fd(), name)
    }

    /// Opens a directory for a moment, if its owner has closed it to himself.
    ///
    /// # Errors
    /// As the kernel says.
    pub(super) fn open(
        &mut self,
        dir: BorrowedFd<'_>,
        level: &Level,
        stores: &Stores,
    ) -> io::Result<()> {
        let now = Stat::of_fd(dir)?;
        if geteuid().is_root() || !closed::is_closed(&now) {
            return Ok(());
        }
        if !level.has_properties(now.id) {
            self.note(dir, &now, level, stores)?;
        }
        step();
        closed::open(dir, &now)
    }

    /// Writes a directory's mode down.
    fn note(
        &mut self,
        dir: BorrowedFd<'_>,
        now: &Stat,
        level: &Level,
        stores: &Stores,
    ) -> io::Result<()> {
        let is_new = self.trail.add(now, dir.try_clone_to_owned()?);
        // One of the branch is thrown away, in whatever mode.
        if let (true, Some((_, store))) = (is_new && !level.is_born(now), stores.iter().next()) {
            // A full disk is no reason to leave an object where it is: only a kill now would miss it.
            let _ = plan::write(level, stores, &self.trail, store.root());
        }
        Ok(())
    }

    /// Closes what was opened. Most of it is thrown away, but not what only others know of.
    pub(super) fn close(self, outcome: &mut Outcome) {
        for (dir, mode) in self.trail.opened() {
            step();
            if let Err(error) = sys::set_mode(dir, mode) {
                outcome.problem(sys::path_of(dir), "set its permissions", error);
            }
        }
    }
}
