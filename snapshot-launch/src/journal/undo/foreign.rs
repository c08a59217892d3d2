//! Finds what others have changed since the take, beside the program. Only what the program can't
//! have done is theirs:
//!
//! - an object under a touched name, or in a directory of the branch, to which no call of the
//!   program has given any name;
//! - a file that has lost its last name, which no call has taken away;
//! - a file with another size or time than when the last one of the program closed it.
//!
//! Where the kernel may have put something by itself, that is theirs *maybe*: what was there comes
//! back, and it is put aside.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::libc;
use nix::sys::statfs::fstatfs;

use super::core_files::CoreFiles;
use crate::journal::records::{Level, Name, Was};
use crate::journal::seals::Seals;
use crate::journal::stat::{FileId, Kind, Stat};
use crate::journal::store::{PREFIX, names};
use crate::journal::sys;

/// Where objects keep their numbers as long as they exist. Elsewhere a number can change while
/// nobody has the object open.
const STEADY: &[i64] = &[
    libc::EXT4_SUPER_MAGIC,
    libc::XFS_SUPER_MAGIC,
    libc::BTRFS_SUPER_MAGIC,
    libc::TMPFS_MAGIC,
    libc::F2FS_SUPER_MAGIC,
];

/// Which objects of a filesystem keep their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steady {
    All,
    /// All but directories.
    Files,
    None,
}

impl Steady {
    fn of(dir: BorrowedFd<'_>) -> Self {
        match fstatfs(dir).map(|found| found.filesystem_type().0) {
            Ok(kind) if STEADY.contains(&kind) => Self::All,
            Ok(libc::OVERLAYFS_SUPER_MAGIC) => Self::Files,
            _ => Self::None,
        }
    }
}

/// A look at the tree, before a revert of this level.
#[derive(Debug)]
pub(super) struct Look<'a> {
    level: &'a Level,
    core_files: CoreFiles,
    filesystems: HashMap<u64, Steady>,
}

/// A name that leads to something of somebody else's.
#[derive(Debug)]
pub(super) struct Foreign {
    pub(super) dir: FileId,
    pub(super) name: Name,
    /// It may also be the program's.
    pub(super) is_maybe: bool,
}

/// A file that has lost all its names.
#[derive(Debug)]
pub(super) struct Robbed {
    pub(super) id: FileId,
    /// Directories and names to which it must come back.
    pub(super) names: Vec<(FileId, Name)>,
    /// The last one that it had.
    pub(super) path: PathBuf,
}

/// A directory that is looked into.
struct Dir<'a> {
    fd: BorrowedFd<'a>,
    stat: Stat,
    steady: Steady,
}

impl<'a> Look<'a> {
    pub(super) fn at(level: &'a Level) -> Self {
        Self {
            level,
            core_files: CoreFiles::now(),
            filesystems: HashMap::new(),
        }
    }

    /// Names that lead to something of somebody else's.
    pub(super) fn names(&mut self) -> Vec<Foreign> {
        let mut found = Vec::new();
        for dir in self.level.objects.values() {
            if dir.entries.is_empty() {
                continue;
            }
            let Ok(fd) = dir.reach(&self.level.shelves) else {
                continue;
            };
            let Some(inside) = self.dir(fd.as_fd()) else {
                continue;
            };
            for (name, was) in &dir.entries {
                let Ok(Some(now)) = Stat::of(fd.as_fd(), name.as_os()) else {
                    continue;
                };
                let is_right = was.is_now(&self.level.objects, Some(&now));
                if !is_right && self.is_foreign(&inside, name.as_os(), &now) {
                    found.push(Foreign {
                        dir: dir.id,
                        name: name.clone(),
                        is_maybe: self.level.is_unsure(dir.id, name.as_os()),
                    });
                }
            }
        }
        found
    }

    fn dir<'fd>(&mut self, fd: BorrowedFd<'fd>) -> Option<Dir<'fd>> {
        let stat = Stat::of_fd(fd).ok()?;
        let known = self.filesystems.entry(stat.id.dev);
        let steady = *known.or_insert_with(|| Steady::of(fd));
        Some(Dir { fd, stat, steady })
    }

    /// Whether it is somebody else's, or a directory of the program with such a thing in it.
    fn is_foreign(&mut self, dir: &Dir<'_>, name: &OsStr, now: &Stat) -> bool {
        if !self.is_judged(dir, name, now) {
            return false;
        }
        if !self.level.knows(dir.fd, name, now) {
            return true;
        }
        if !now.is_directory() || !self.level.is_born(now) {
            return false;
        }
        let Ok(pin) = sys::pin(dir.fd, name) else {
            return false;
        };
        self.dir(pin.as_fd())
            .is_some_and(|inside| self.holds_foreign(&inside))
    }

    fn holds_foreign(&mut self, dir: &Dir<'_>) -> bool {
        names(dir.fd)
            .iter()
            .any(|name| match Stat::of(dir.fd, name) {
                Ok(Some(stat)) => {
                    !self.level.is_unsure(dir.stat.id, name) && self.is_foreign(dir, name, &stat)
                }
                _ => false,
            })
    }

    /// Whether its number says whose it is.
    fn is_judged(&self, dir: &Dir<'_>, name: &OsStr, now: &Stat) -> bool {
        let is_judged = match now.kind {
            Kind::File => dir.steady != Steady::None && !self.core_files.may_be(name),
            Kind::Symlink => dir.steady != Steady::None,
            Kind::Directory => dir.steady == Steady::All,
            // The kernel makes them by itself.
            _ => false,
        };
        // What is mounted, or a filesystem in the filesystem, is made by other calls.
        let is_beside = (now.id.dev, now.mount) == (dir.stat.id.dev, dir.stat.mount);
        is_judged && is_beside && !name.as_bytes().starts_with(PREFIX.as_bytes())
    }

    /// Files that have lost all their names, and not by the program: it would have kept a link.
    /// Each with the names to which it must come back, or the path that it had.
    pub(super) fn robbed(&self, seals: &Seals) -> Vec<Robbed> {
        let held = self.level.objects.values().filter(|object| {
            let is_lost = object.trash.is_none() && object.anew.is_none();
            object.kind == Kind::File && is_lost
        });
        let gone = held.filter_map(|object| {
            let pin = object.pin()?;
            let stat = Stat::of_fd(pin).ok().filter(|stat| stat.nlink == 0)?;
            let (path, _) = sys::path_and_whether_gone(pin);
            let robbed = Robbed {
                id: object.id,
                names: self.names_of(object.id),
                path,
            };
            let had_name = seals.had_name(&stat) || !robbed.names.is_empty();
            (had_name && !self.is_core_file(&robbed.path)).then_some(robbed)
        });
        gone.collect()
    }

    /// The names that had led to it, and were touched since.
    fn names_of(&self, id: FileId) -> Vec<(FileId, Name)> {
        let all = self.level.objects.values().flat_map(|dir| {
            let names = dir.entries.iter();
            names.map(move |(name, was)| (dir.id, name, *was))
        });
        all.filter(|(.., was)| *was == Was::Present(id))
            .map(|(dir, name, _)| (dir, name.clone()))
            .collect()
    }

    /// Files with other contents than the program has left in them.
    pub(super) fn contents(&self, seals: &Seals) -> Vec<(FileId, PathBuf)> {
        let kept = self.level.objects.values().filter(|object| {
            object.kind == Kind::File && object.has_content() && object.anew.is_none()
        });
        let changed = kept.filter_map(|object| {
            let pin = object.reach(&self.level.shelves).ok()?;
            let now = Stat::of_fd(pin.as_fd()).ok()?;
            let differs = seals.differs(&now, self.level.id);
            (differs && now.nlink > 0).then(|| (object.id, sys::path_of(pin.as_fd())))
        });
        changed
            .filter(|(_, path)| !self.is_core_file(path))
            .collect()
    }

    fn is_core_file(&self, path: &std::path::Path) -> bool {
        path.file_name()
            .is_some_and(|name| self.core_files.may_be(name))
    }
}
