//! The files at one moment: at a take, or live. A thing is what the oldest record since that take
//! says. Without a record it is as it is now.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;

use crate::journal::records::{Content, Level, Name, Object, Was};
use crate::journal::stat::{FileId, Kind, Stat, Timestamp};
use crate::journal::sys;

/// An object as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) size: u64,
    pub(super) modified: Timestamp,
}

/// A moment of a session.
pub(super) struct Moment<'a> {
    levels: &'a [Level],
    /// Levels from here on have what changed since. None for live.
    since: &'a [Level],
    /// The names that are known to have led to an object.
    names: HashMap<FileId, Vec<(FileId, &'a Name)>>,
}

impl<'a> Moment<'a> {
    /// The moment of the take of the level `at`; live behind the last one.
    pub(super) fn new(levels: &'a [Level], at: usize) -> Self {
        let mut moment = Self {
            levels,
            since: levels.get(at..).unwrap_or_default(),
            names: HashMap::new(),
        };
        let mut names: HashMap<FileId, Vec<(FileId, &Name)>> = HashMap::new();
        for level in moment.since {
            for dir in level.objects.values() {
                for name in dir.entries.keys() {
                    if let Some(Was::Present(id)) = moment.recorded(dir.id, name.as_os()) {
                        let of = names.entry(id).or_default();
                        if !of.contains(&(dir.id, name)) {
                            of.push((dir.id, name));
                        }
                    }
                }
            }
        }
        moment.names = names;
        moment
    }

    /// The names that led to this object.
    pub(super) fn names_of(&self, id: FileId) -> &[(FileId, &'a Name)] {
        self.names.get(&id).map_or(&[], Vec::as_slice)
    }

    fn records(&self, id: FileId) -> impl Iterator<Item = (&'a Level, &'a Object)> {
        let levels = self.since.iter();
        levels.filter_map(move |level| Some((level, level.objects.get(&id)?)))
    }

    fn recorded(&self, dir: FileId, name: &OsStr) -> Option<Was> {
        self.records(dir)
            .find_map(|(_, dir)| dir.entries.get(name).copied())
    }

    /// Whether it was made after this moment.
    pub(super) fn lacks(&self, id: FileId) -> bool {
        self.since.iter().any(|level| level.has_born(id))
    }

    /// What a name in a directory led to.
    pub(super) fn entry(&self, dir: &Directory, name: &OsStr) -> Option<FileId> {
        match self.recorded(dir.id, name) {
            Some(Was::Absent) => None,
            Some(Was::Present(id)) => Some(id),
            None => Some(Stat::of(dir.fd.as_fd(), name).ok()??.id),
        }
    }

    /// All names in a directory, and what they led to.
    pub(super) fn entries(&self, dir: &Directory) -> Vec<(Name, FileId)> {
        let mut names: Vec<Name> = crate::journal::store::names(dir.fd.as_fd())
            .into_iter()
            .map(Name::from)
            .collect();
        for (_, record) in self.records(dir.id) {
            names.extend(record.entries.keys().cloned());
        }
        names.sort();
        names.dedup();
        let found = names.into_iter();
        found
            .filter_map(|name| Some((name.clone(), self.entry(dir, name.as_os())?)))
            .collect()
    }

    /// An object by whatever holds it, or by a name that leads to it now.
    pub(super) fn reach(&self, id: FileId, at: Option<(&Directory, &OsStr)>) -> Option<OwnedFd> {
        let held = self.levels.iter().find_map(|level| {
            let object = level.objects.get(&id)?;
            object.reach(&level.shelves).ok()
        });
        let is_it = |fd: &OwnedFd| Stat::of_fd(fd.as_fd()).is_ok_and(|stat| stat.id == id);
        held.filter(is_it).or_else(|| {
            let (dir, name) = at?;
            sys::pin(dir.fd.as_fd(), name).ok().filter(is_it)
        })
    }

    /// The state of an object that `pin` holds, if it still exists.
    pub(super) fn state(&self, id: FileId, pin: Option<BorrowedFd<'_>>) -> Option<State> {
        let now = pin.and_then(|pin| Stat::of_fd(pin).ok());
        let properties = self
            .records(id)
            .find_map(|(_, object)| object.properties.as_ref());
        let size = self
            .records(id)
            .find_map(|(_, object)| object.content.size());
        let kind = now
            .map(|now| now.kind)
            .or_else(|| self.records(id).next().map(|(_, object)| object.kind))?;
        Some(State {
            kind,
            mode: properties.map_or_else(|| now.map(|now| now.mode), |was| Some(was.mode()))?,
            owner: properties.map_or_else(
                || now.map(|now| (now.uid, now.gid)),
                |was| Some(was.owner()),
            )?,
            size: size.or(now.map(|now| now.size))?,
            modified: properties
                .map_or_else(|| now.map(|now| now.modified), |was| Some(was.modified()))?,
        })
    }

    /// A file's first `length` bytes, or a symbolic link's target.
    pub(super) fn bytes(
        &self,
        id: FileId,
        pin: Option<BorrowedFd<'_>>,
        length: u64,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        // What was only appended to begins with its old bytes.
        let mut kept = self
            .records(id)
            .filter(|(_, object)| !matches!(object.content, Content::Unkept | Content::Size(_)))
            .peekable();
        // What a guarded file has lost is above what is kept of it later, or what it has now.
        let mut parts = Vec::new();
        while let Some(part) = kept.next_if(|(_, object)| object.content.is_of_parts()) {
            parts.push(part);
        }
        if let Some((level, object)) = kept.next() {
            let there = object.content.size().map_or(0, |size| size.min(length));
            let there = bytes.get_mut(..usize::try_from(there).unwrap_or(0));
            let there = there.unwrap_or_default();
            object.content.read(&level.shelves, there)?;
        } else {
            let pin = pin.ok_or(io::ErrorKind::NotFound)?;
            if Stat::of_fd(pin)?.kind == Kind::Symlink {
                return Ok(nix::fcntl::readlinkat(pin, "")?.as_bytes().to_vec());
            }
            let file = sys::reopen(pin, OFlag::O_RDONLY)?;
            let there = length.min(file.metadata()?.len());
            let there = usize::try_from(there).unwrap_or(0);
            file.read_exact_at(&mut bytes[..there], 0)?;
            if there < bytes.len() && parts.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        for (level, object) in parts.into_iter().rev() {
            object.content.read(&level.shelves, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// A directory's path then.
    pub(super) fn path(&self, id: FileId) -> Option<PathBuf> {
        self.path_below(id, 64)
    }

    fn path_below(&self, id: FileId, depth: u32) -> Option<PathBuf> {
        if let (Some((dir, name)), true) = (self.names_of(id).first(), depth > 0) {
            return Some(self.path_below(*dir, depth - 1)?.join(name.as_os()));
        }
        let pin = self.reach(id, None)?;
        Some(sys::path_of(pin.as_fd()))
    }
}

/// A directory that can be looked into now.
pub(super) struct Directory {
    pub(super) id: FileId,
    pub(super) fd: OwnedFd,
}
