//! The way to an object that a revert looks for where no record leads: in a directory of the
//! branch. An ordinary user's program may have closed such a directory to its owner, or one above
//! it. They are opened until the revert has what it wants, and closed again.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::outcome::Outcome;
use super::stop::step;
use crate::journal::closed;
use crate::journal::stat::Stat;
use crate::journal::sys;

/// Directories that were opened on the way, with their modes. They are closed at the end.
#[derive(Debug, Default)]
pub(super) struct Way {
    opened: Vec<(OwnedFd, u32)>,
}

impl Way {
    /// The directory in which a held object lies, open to its owner, and the object's name there.
    ///
    /// # Errors
    /// If there is no way, or it belongs to somebody else.
    pub(super) fn to(&mut self, pin: BorrowedFd<'_>) -> io::Result<(OwnedFd, OsString)> {
        let path = sys::path_of(pin);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ENOENT.into());
        };
        // A directory leads to the one above it, wherever both are.
        let dir = match Stat::of_fd(pin)?.is_directory() {
            true => sys::pin(pin, OsStr::new(".."))?,
            false => self.directory(parent)?,
        };
        self.open(dir.as_fd())?;
        Ok((dir, name.to_owned()))
    }

    /// The directory with this path.
    fn directory(&mut self, path: &Path) -> io::Result<OwnedFd> {
        match sys::pin_directory(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EACCES.into());
        };
        let above = self.directory(parent)?;
        self.open(above.as_fd())?;
        sys::pin(above.as_fd(), name)
    }

    /// Opens a directory for a moment, if its owner has closed it to himself.
    fn open(&mut self, dir: BorrowedFd<'_>) -> io::Result<()> {
        let now = Stat::of_fd(dir)?;
        if geteuid().is_root() || !closed::is_closed(&now) {
            return Ok(());
        }
        let held = dir.try_clone_to_owned()?;
        step();
        closed::open(dir, &now)?;
        self.opened.push((held, now.mode));
        Ok(())
    }

    /// Closes what was opened. Most of it is thrown away next, but not what only others know of.
    pub(super) fn close(self, outcome: &mut Outcome) {
        for (dir, mode) in &self.opened {
            step();
            if let Err(error) = sys::set_mode(dir.as_fd(), mode & 0o7777) {
                outcome.problem(sys::path_of(dir.as_fd()), "set its permissions", error);
            }
        }
    }
}
