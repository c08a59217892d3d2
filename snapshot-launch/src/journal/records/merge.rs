//! A level that is dropped hands its records to the one below. The older state of a thing wins:
//! it is what a revert to the level below brings back.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use nix::fcntl::OFlag;
use snapshot_core::terms::guards::UNIT;

use super::blocks::Blocks;
use super::content::Content;
use super::level::{Known, Level};
use super::object::{Object, Was};
use crate::journal::stat::Stat;
use crate::journal::store::{Shelf, ShelfId, Stores};
use crate::journal::sys;

impl Level {
    /// Takes over the records of the next newer level.
    pub(crate) fn take_over(&mut self, newer: Self, stores: &mut Stores) {
        let Self {
            objects,
            mut shelves,
            born,
            placed,
            unsure,
            is_blind,
            ..
        } = newer;
        for object in objects.into_values() {
            // A revert to this level removes what was born since its take, with its names.
            if !self.is_born_at(object.id, object.born) {
                self.take_over_object(object, &mut shelves);
            }
        }
        self.learn(Known {
            born,
            placed,
            unsure,
        });
        self.is_blind |= is_blind;
        for shelf in shelves {
            let in_use = |object: &Object| {
                object.trash.map(|place| place.shelf) == Some(shelf.id())
                    || object.content.shelf() == Some(shelf.id())
            };
            if self.objects.values().any(in_use) {
                self.shelves.push(shelf);
            } else {
                stores.discard_shelf(&shelf);
            }
        }
    }

    fn take_over_object(&mut self, mut newer: Object, shelves: &mut [Shelf]) {
        // What was born since this level's take was absent at it, under whatever name.
        for was in newer.entries.values_mut() {
            if let Was::Present(id) = was
                && self.born.contains_key(id)
                && !self.objects.contains_key(id)
            {
                *was = Was::Absent;
            }
        }
        let own_shelves = &self.shelves;
        let Some(older) = self.objects.get_mut(&newer.id) else {
            self.objects.insert(newer.id, newer);
            return;
        };
        for (name, was) in newer.entries {
            older.entries.entry(name).or_insert(was);
        }
        older.properties = older.properties.take().or(newer.properties);
        older.content = match (&older.content, newer.content) {
            (Content::Unkept, newer) => newer,
            (
                Content::Size(size),
                mut newer @ (Content::Logged(_) | Content::Copied { .. } | Content::Blocks(_)),
            ) => {
                newer.cut_to(*size);
                newer
            }
            (Content::Blocks(blocks), newer) => {
                let mut blocks = blocks.clone();
                match fill(&mut blocks, newer, own_shelves, shelves) {
                    Ok(()) => Content::Blocks(blocks),
                    Err(error) => Content::Lost {
                        why: error.to_string(),
                    },
                }
            }
            (Content::Size(_), lost @ Content::Lost { .. }) => lost,
            (older, _) => older.clone(),
        };
        older.trash = older.trash.or(newer.trash);
        older.anew = older.anew.take().or(newer.anew);
        if older.pin.is_none() && (older.is_directory() || older.trash.is_none()) {
            older.pin = newer.pin;
        }
    }
}

/// Adds to what was overwritten before a take what was kept since: it is as old.
fn fill(older: &mut Blocks, newer: Content, own: &[Shelf], of_newer: &[Shelf]) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let find = |shelves: &[Shelf], id: ShelfId| shelves.iter().position(|shelf| shelf.id() == id);
    let place = find(own, older.place.shelf).ok_or_else(gone)?;
    let shelf = own.get(place).ok_or_else(gone)?;
    let place = newer.shelf().and_then(|id| find(of_newer, id));
    let from = place.and_then(|place| of_newer.get(place));
    match (newer, from) {
        (Content::Unkept | Content::Size(_), _) => Ok(()),
        (Content::Blocks(mut newer), Some(from)) => older.fill_from_blocks(&mut newer, shelf, from),
        (Content::Copied { place, size }, Some(from)) => {
            let pin = sys::pin(from.dir(), OsStr::new(&place.name()))?;
            let copy = sys::reopen(pin.as_fd(), OFlag::O_RDONLY)?;
            older.fill_from(&copy, |unit| unit * UNIT < size, shelf)
        }
        (Content::Logged(span), Some(from)) => {
            let mut bytes = vec![0; usize::try_from(span.length).map_err(io::Error::other)?];
            from.read(span, &mut bytes)?;
            older.fill_small(&bytes, shelf)
        }
        (Content::Lost { why }, _) => Err(io::Error::other(why)),
        (_, None) => Err(gone()),
    }
}

impl Object {
    /// Whether something keeps the inode from being removed for good.
    pub(super) fn is_held(&self) -> bool {
        self.pin.is_some() || self.trash.is_some()
    }

    /// Whether a state is of this inode, and not of a later one with its number.
    pub(crate) fn is(&self, stat: &Stat) -> bool {
        self.id == stat.id && self.born == stat.born
    }
}
