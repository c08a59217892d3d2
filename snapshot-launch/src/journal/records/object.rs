//! What a level knows of one inode, and how it reaches it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::content::{self, Content};
use super::name::Name;
use super::properties::{Failure, Properties};
use crate::journal::stat::{FileId, Kind, Stat, Timestamp};
use crate::journal::store::{Place, Shelf, Stores};
use crate::journal::sys;

/// What was under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Was {
    Absent,
    Present(FileId),
}

impl Was {
    /// Whether a name leads to what it led to, if `now` is there.
    pub(crate) fn is_now(self, objects: &HashMap<FileId, Object>, now: Option<&Stat>) -> bool {
        match (self, now) {
            (Self::Absent, None) => true,
            (Self::Present(id), Some(now)) => {
                let known = objects.get(&id);
                known.map_or(now.id == id, |object| object.is(now))
            }
            _ => false,
        }
    }
}

/// How to make an object anew that the filesystem gave no second link for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Anew {
    /// A file, from its pre-image.
    File,
    /// A directory; its entries have records of their own.
    Directory,
    Symlink(Name),
    /// A FIFO, a socket or a device node.
    Node {
        mode: u32,
        rdev: u64,
    },
}

/// An inode with records.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    pub(crate) born: Option<Timestamp>,
    /// Holds the inode, so that its number stays its own.
    #[serde(skip)]
    pub(crate) pin: Option<OwnedFd>,
    pub(crate) properties: Option<Properties>,
    pub(crate) content: Content,
    /// A link on a shelf; for a directory, the directory itself.
    pub(crate) trash: Option<Place>,
    pub(crate) anew: Option<Anew>,
    /// A directory's names, as far as they were touched.
    pub(crate) entries: HashMap<Name, Was>,
}

impl Object {
    pub(super) fn new(stat: &Stat) -> Self {
        Self {
            id: stat.id,
            kind: stat.kind,
            born: stat.born,
            pin: None,
            properties: None,
            content: Content::Unkept,
            trash: None,
            anew: None,
            entries: HashMap::new(),
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Its pin.
    pub(crate) fn pin(&self) -> Option<BorrowedFd<'_>> {
        self.pin.as_ref().map(AsFd::as_fd)
    }

    /// A descriptor for it: another one for its pin, or one by its link on a shelf.
    pub(crate) fn reach(&self, shelves: &[Shelf]) -> io::Result<OwnedFd> {
        if let Some(pin) = &self.pin {
            return pin.try_clone();
        }
        let found = self.trash.and_then(|place| {
            let shelf = shelves.iter().find(|shelf| shelf.id() == place.shelf)?;
            Some((shelf, place.name()))
        });
        match found {
            Some((shelf, name)) => sys::pin(shelf.dir(), OsStr::new(&name)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Lifts what keeps it from being changed, if it wasn't so.
    pub(crate) fn unlock(&self, pin: BorrowedFd<'_>, now: &Stat) -> Result<(), Failure> {
        self.properties
            .as_ref()
            .map_or(Ok(()), |properties| properties.unlock(pin, now))
    }

    /// Whether a revert puts its content back.
    pub(crate) fn has_content(&self) -> bool {
        !matches!(self.content, Content::Unkept)
    }

    /// Puts back content and properties. Returns what failed.
    pub(crate) fn restore(
        &self,
        pin: BorrowedFd<'_>,
        shelves: &[Shelf],
        stores: &mut Stores,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        if let Err(error) = self.restore_content(pin, shelves, stores) {
            failures.push(Failure::new("put back its content", error));
        }
        if let Some(properties) = &self.properties {
            failures.extend(properties.restore(pin, self.kind));
        }
        failures
    }

    fn restore_content(
        &self,
        pin: BorrowedFd<'_>,
        shelves: &[Shelf],
        stores: &mut Stores,
    ) -> io::Result<()> {
        if !self.has_content() {
            return Ok(());
        }
        let now = Stat::of_fd(pin)?;
        if self.is_certainly_unchanged(&now, shelves, stores) {
            return Ok(());
        }
        let file = content::open_to_restore(pin, &now)?;
        content::restore(&self.content, &file, shelves, stores)
    }

    /// Whether a big file needs no look into it. Writes through a map show in a file's times,
    /// but not on a filesystem in memory.
    fn is_certainly_unchanged(&self, now: &Stat, shelves: &[Shelf], stores: &Stores) -> bool {
        let Content::Copied { place, .. } = &self.content else {
            return false;
        };
        let on_disk = shelves
            .iter()
            .find(|shelf| shelf.id() == place.shelf)
            .map(|shelf| stores.get(shelf.store()))
            .is_some_and(|store| !store.is_in_memory() && store.stat().id.dev == now.id.dev);
        let untouched = self
            .properties
            .as_ref()
            .is_some_and(|was| was.are_untouched(now));
        on_disk && untouched
    }
}
