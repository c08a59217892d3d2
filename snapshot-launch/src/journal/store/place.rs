//! A *store*: a directory of the journal's own on one filesystem, for what it keeps there.
//!
//! ```text
//! .cargo-snapshot-files-TAG/
//!   plan        what a revert that is under way has to do
//!   shelf-N/    what one level keeps: old objects (the trash), pre-images, a log of small ones
//!   stage/      during a revert: what isn't where it belongs
//!   garbage/    what nobody needs any more; removed bit by bit
//!   left/       after a revert with problems: what could not be brought back
//!   first       where a plan would lie, if that is another store of the session
//! ```
//!
//! Only its owner may enter. The journal holds a lock on it: a store without a lock belongs to
//! a session that has died.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, readlinkat};
use nix::libc;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{geteuid, symlinkat};
use serde::{Deserialize, Serialize};

use crate::journal::closed;
use crate::journal::stat::Stat;
use crate::journal::sys;

/// What every store's name begins with.
pub(crate) const PREFIX: &str = ".cargo-snapshot-files-";
/// The file that says how to finish a revert.
pub(crate) const PLAN: &str = "plan";

/// What could not be brought back.
pub(super) const LEFT: &str = "left";
/// The symbolic link to the session's first store.
const FIRST: &str = "first";

/// A store's number, never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct StoreId(pub(super) usize);

/// One of them.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    root: OwnedFd,
    stage: OwnedFd,
    garbage: OwnedFd,
    /// As it was at the start.
    stat: Stat,
    /// Whether files can share blocks here. Unknown before the first try.
    clones: Option<bool>,
    /// Whether writes through a map may leave a file's times as they were.
    is_in_memory: bool,
    /// `None` for a second way to a store that is locked already.
    _lock: Option<Flock<OwnedFd>>,
}

impl Store {
    /// Makes one in `parent`, or takes one that this user has left there.
    ///
    /// # Errors
    /// If it can't be made, belongs to somebody else, or is in use.
    pub(super) fn claim(
        parent: BorrowedFd<'_>,
        name: &OsStr,
        second_way: bool,
    ) -> io::Result<Self> {
        let path = sys::path_of(parent).join(name);
        let mut is_new = false;
        loop {
            let before = Stat::of_fd(parent)?;
            is_new |= match mkdirat(parent, name, Mode::S_IRWXU) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(errno) => return Err(errno.into()),
            };
            if is_new {
                restore_times(parent, &before);
            }
            // Another session may take a store that isn't locked yet for one that was left, and
            // remove it.
            let opened =
                sys::pin(parent, name).and_then(|root| Self::open(&path, root, second_way));
            match opened {
                Err(error) if is_new && is_swept(&error) => {}
                Err(error) => return Err(error),
                Ok(store) => {
                    let there = Stat::of(parent, name)?;
                    if there.is_some_and(|there| there.id == store.stat.id) {
                        return Ok(store);
                    }
                }
            }
        }
    }

    /// Opens one that exists.
    ///
    /// # Errors
    /// As above.
    pub(super) fn open(path: &Path, root: OwnedFd, second_way: bool) -> io::Result<Self> {
        let stat = Stat::of_fd(root.as_fd())?;
        let is_ours = stat.is_directory()
            && stat.uid == geteuid().as_raw()
            && stat.mode & 0o7777 & !libc::S_ISGID == libc::S_IRWXU;
        if !is_ours {
            return Err(Errno::EEXIST.into());
        }
        let lock = match second_way {
            true => None,
            false => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let fd = openat(&root, ".", flags, Mode::empty())?;
                let lock = Flock::lock(fd, FlockArg::LockExclusiveNonblock);
                Some(lock.map_err(|(_, errno)| errno)?)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            stage: directory(root.as_fd(), "stage")?,
            garbage: directory(root.as_fd(), "garbage")?,
            stat,
            clones: None,
            is_in_memory: nix::sys::statfs::fstatfs(&root)
                .is_ok_and(|fs| fs.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC),
            root,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stat(&self) -> &Stat {
        &self.stat
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn stage(&self) -> BorrowedFd<'_> {
        self.stage.as_fd()
    }

    pub(super) fn garbage(&self) -> BorrowedFd<'_> {
        self.garbage.as_fd()
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        self.is_in_memory
    }

    /// Whether to try to share blocks.
    pub(crate) fn may_clone(&self) -> bool {
        self.clones != Some(false)
    }

    /// What such a try has shown.
    pub(crate) fn learn_clones(&mut self, works: bool) {
        self.clones = Some(works);
    }

    /// Remembers the session's first store.
    ///
    /// # Errors
    /// If the link can't be made.
    pub(super) fn belongs_to(&self, first: &Path) -> io::Result<()> {
        match symlinkat(first, &self.root, FIRST) {
            Err(Errno::EEXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    /// The session's first store, if this is another one.
    pub(crate) fn first(&self) -> Option<PathBuf> {
        readlinkat(&self.root, FIRST).ok().map(PathBuf::from)
    }

    /// The directory for what a revert could not bring back.
    pub(crate) fn left(&self) -> io::Result<OwnedFd> {
        directory(self.root(), LEFT)
    }

    /// Throws away something in `dir`, a directory of this store.
    pub(crate) fn discard(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        as_number: u64,
    ) -> io::Result<()> {
        let new = as_number.to_string();
        closed::move_to(dir, name, self.garbage(), OsStr::new(&new))
    }

    /// Removes the store, if nothing is left in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        for name in ["stage", "garbage"] {
            ignore_absent(sys::remove_directory(self.root(), OsStr::new(name)))?;
        }
        let Some(name) = self.path.file_name() else {
            return Ok(());
        };
        // Its path may lie in a mount namespace of the program's.
        let parent = sys::pin(self.root(), OsStr::new(".."))?;
        let before = Stat::of_fd(parent.as_fd())?;
        ignore_absent(sys::remove_directory(parent.as_fd(), name))?;
        restore_times(parent.as_fd(), &before);
        Ok(())
    }
}

/// A store comes and goes without a trace in the times of the directory that it is in, where
/// this user may set them.
fn restore_times(parent: BorrowedFd<'_>, before: &Stat) {
    let _ = sys::set_times(parent, before.accessed, before.modified);
}

/// The directory of this name in a store.
pub(super) fn directory(root: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(root, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => sys::pin(root, OsStr::new(name)),
        Err(errno) => Err(errno.into()),
    }
}

/// Somebody removes it right now, or has.
fn is_swept(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EWOULDBLOCK | libc::ENOENT | libc::EINVAL)
    )
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
