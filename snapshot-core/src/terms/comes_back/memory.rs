//! Memory that is shared: mapped, or with a descriptor.
//!
//! Context: AS-SAFE.

use crate::terms::{Origin, Why};

/// How much memory a take still copies: a take is to be short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(u64);

impl Room {
    /// For memory of this origin, at the beginning.
    pub const fn of(origin: Origin) -> Self {
        Self(origin.most_copied())
    }

    /// Why memory of so many bytes does not come back; where it does, it takes the room.
    pub fn why(&mut self, is_elsewhere: bool, bytes: u64) -> Option<Why> {
        match self.0.checked_sub(bytes) {
            _ if is_elsewhere => Some(Why::Elsewhere),
            None => Some(Why::Large),
            Some(left) => {
                self.0 = left;
                None
            }
        }
    }
}

/// Memory that is mapped shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// What it belongs to.
    pub origin: Origin,
    /// It can be written through this mapping.
    pub can_write: bool,
    /// Its file is open: it is copied by that.
    pub has_descriptor: bool,
}

impl Mapping {
    /// Whether a copy records it by this mapping.
    pub const fn is_recorded(&self) -> bool {
        match self.origin {
            Origin::Memory => true,
            Origin::Memfd => !self.has_descriptor,
            // What can't be written through this mapping is somebody else's to restore.
            Origin::File => self.can_write,
            Origin::Aio => false,
        }
    }
}

/// How much of all that is mapped shared a take still copies.
#[derive(Debug, Clone, Copy)]
pub struct Rooms {
    memory: Room,
    of_files: Room,
    leaves_files: bool,
}

impl Rooms {
    /// At the beginning; whether the user wants files left alone.
    pub const fn new(leaves_files: bool) -> Self {
        Self {
            memory: Room::of(Origin::Memory),
            of_files: Room::of(Origin::File),
            leaves_files,
        }
    }

    /// Why a mapping of so many bytes does not come back. Those of one file follow each other.
    pub fn why(&mut self, is_file: bool, is_elsewhere: bool, bytes: u64) -> Option<Why> {
        match is_file {
            true if self.leaves_files => Some(Why::Unwanted),
            true => self.of_files.why(is_elsewhere, bytes),
            false => self.memory.why(is_elsewhere, bytes),
        }
    }
}
