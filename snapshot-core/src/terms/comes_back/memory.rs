//! Shared memory: mapped, or with a descriptor.
//!
//! Context: AS-SAFE.

use crate::terms::{Origin, Why};

/// How much memory a take may still copy, to stay short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(u64);

impl Room {
    /// The room for memory of this origin, at the beginning.
    pub const fn of(origin: Origin) -> Self {
        Self(origin.most_copied())
    }

    /// Why memory of this many bytes does not come back; if it does, it takes up room.
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
    /// Its object.
    pub origin: Origin,
    /// It can be written through this mapping.
    pub can_write: bool,
    /// Its file is open, and is copied through that descriptor.
    pub has_descriptor: bool,
}

impl Mapping {
    /// Whether a copy records it by this mapping.
    pub const fn is_recorded(&self) -> bool {
        match self.origin {
            Origin::Memory => true,
            Origin::Memfd => !self.has_descriptor,
            // Memory that this mapping can't write to is not the copy's to restore.
            Origin::File => self.can_write,
            Origin::Aio => false,
        }
    }
}

/// What becomes of the contents of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileContents {
    /// A copy has what is mapped shared. Nobody has the rest.
    #[default]
    Copied,
    /// The journal keeps them.
    Kept,
    /// The user wants them left alone.
    Left,
}

/// How much shared memory a take may still copy, of each origin.
#[derive(Debug, Clone, Copy)]
pub struct Rooms {
    memory: Room,
    of_files: Room,
    files: FileContents,
}

impl Rooms {
    /// The rooms at the beginning.
    pub const fn new(files: FileContents) -> Self {
        Self {
            memory: Room::of(Origin::Memory),
            of_files: Room::of(Origin::File),
            files,
        }
    }

    /// Why a mapping of this many bytes does not come back. Mappings of one file must follow
    /// each other.
    pub fn why(&mut self, is_file: bool, is_elsewhere: bool, bytes: u64) -> Option<Why> {
        match is_file {
            true => match self.files {
                FileContents::Left => Some(Why::Unwanted),
                FileContents::Kept => None,
                FileContents::Copied => self.of_files.why(is_elsewhere, bytes),
            },
            false => self.memory.why(is_elsewhere, bytes),
        }
    }
}
