//! What a level keeps of guarded files, before each part of them is overwritten.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use super::blocks::Blocks;
use super::content::{self, Content};
use super::level::Level;
use crate::journal::coverage::{Coverage, Loss};
use crate::journal::stat::{FileId, Kind, Stat};
use crate::journal::store::Stores;

impl Level {
    /// Whether nothing is kept of a file's content.
    pub(crate) fn has_nothing_of(&self, id: FileId) -> bool {
        let content = self.objects.get(&id).map(|object| &object.content);
        content.is_none_or(|content| matches!(content, Content::Unkept))
    }

    /// Whether a file's content is kept a unit at a time.
    pub(crate) fn has_blocks(&self, id: FileId) -> bool {
        let content = self.objects.get(&id).map(|object| &object.content);
        matches!(content, Some(Content::Blocks(_)))
    }

    /// A big file will ask before it is written to: its size is kept, and its properties. What is
    /// kept of its content already is enough.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn guard(
        &mut self,
        stores: &mut Stores,
        pin: BorrowedFd<'_>,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        if stat.kind != Kind::File || self.is_born(stat) {
            return Ok(Coverage::Covered);
        }
        let size = match self.objects.get(&stat.id).map(|object| &object.content) {
            None | Some(Content::Unkept) => stat.size,
            Some(Content::Size(size)) => *size,
            Some(_) => return Ok(Coverage::Covered),
        };
        let kept = self.keep_properties(stores, pin, stat)?;
        if kept != Coverage::Covered {
            return Ok(kept);
        }
        let store = stores.for_content(pin, stat);
        let store = store.ok_or(io::ErrorKind::StorageFull)?;
        let shelf = self.shelf(stores, store)?;
        let blocks = Blocks::begin(size, shelf, stores)?;
        self.object(stat).content = Content::Blocks(blocks);
        Ok(Coverage::Covered)
    }

    /// Before a range (offset and length) of a guarded file changes. `file` is the file to read
    /// from, if it is open.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn keep_range(
        &mut self,
        stores: &mut Stores,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        (offset, length): (u64, u64),
        file: Option<&File>,
    ) -> io::Result<Coverage> {
        let kept = self.guard(stores, pin, stat)?;
        let object = self.objects.get_mut(&stat.id);
        let Some(Content::Blocks(blocks)) = object.map(|object| &mut object.content) else {
            return Ok(kept);
        };
        let shelf = self.shelves.iter();
        let shelf = shelf.clone().find(|shelf| shelf.id() == blocks.place.shelf);
        let shelf = shelf.ok_or(io::ErrorKind::NotFound)?;
        match file {
            Some(file) => blocks.keep(file, offset, length, shelf)?,
            None => match content::open(pin) {
                Ok(file) => blocks.keep(&file, offset, length, shelf)?,
                Err(error) => return Ok(Loss::content(&error).of(pin)),
            },
        }
        Ok(Coverage::Covered)
    }

    /// Nothing changes by way of this level for now: closes what can be opened again.
    pub(crate) fn rest(&mut self) {
        for object in self.objects.values_mut() {
            if let Content::Blocks(blocks) = &mut object.content {
                blocks.rest();
            }
        }
    }
}
