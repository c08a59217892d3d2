//! The old bytes of a big file, kept a unit at a time before the first write to each: a file with
//! holes on a shelf, and which units of it are kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use snapshot_core::terms::guards::{UNIT, units};
use std::os::fd::AsFd;

use super::copying::{PIECE, clear, copy_bytes, next_data, write_differences};
use crate::journal::store::{Place, Shelf, Stores};
use crate::journal::sys;

/// The unit of a file's blocks in stat(2).
const BLOCK: u64 = 512;

/// What is kept of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Blocks {
    pub(super) place: Place,
    /// The file's size at the take. What it has got beyond needs nothing.
    pub(super) size: u64,
    /// A bit a unit.
    kept: Vec<u64>,
    /// The file on the shelf, while it is open.
    #[serde(skip)]
    copy: Option<Rc<File>>,
}

impl Blocks {
    /// Nothing of it is kept yet.
    ///
    /// # Errors
    /// If the file on the shelf can't be made.
    pub(super) fn begin(size: u64, shelf: &Shelf, stores: &mut Stores) -> io::Result<Self> {
        let place = Place {
            shelf: shelf.id(),
            number: stores.next_number(),
        };
        let copy = sys::create(shelf.dir(), OsStr::new(&place.name()))?;
        if let Err(error) = copy.set_len(size) {
            let _ = sys::unlink(shelf.dir(), OsStr::new(&place.name()));
            return Err(error);
        }
        let words = usize::try_from(size.div_ceil(UNIT).div_ceil(64)).map_err(io::Error::other)?;
        Ok(Self {
            place,
            size,
            kept: vec![0; words],
            copy: Some(Rc::new(copy)),
        })
    }

    fn has(&self, unit: u64) -> bool {
        let word = usize::try_from(unit / 64).ok();
        word.and_then(|word| self.kept.get(word))
            .is_some_and(|word| word >> (unit % 64) & 1 != 0)
    }

    fn mark(&mut self, from: u64, to: u64) {
        for unit in from..to {
            let word = usize::try_from(unit / 64).unwrap_or(usize::MAX);
            if let Some(word) = self.kept.get_mut(word) {
                *word |= 1 << (unit % 64);
            }
        }
    }

    /// The runs of units from `from` to `to` that are kept, or are not.
    fn runs(&self, from: u64, to: u64, kept: bool) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for unit in (from..to).filter(|unit| self.has(*unit) == kept) {
            match runs.last_mut() {
                Some((_, end)) if *end == unit => *end += 1,
                _ => runs.push((unit, unit + 1)),
            }
        }
        runs
    }

    /// Whether all of it is kept.
    pub(super) fn is_whole(&self) -> bool {
        (0..self.size.div_ceil(UNIT)).all(|unit| self.has(unit))
    }

    /// Bytes that it takes on the disk, but for holes.
    pub(super) fn cost(&self) -> u64 {
        let units: u32 = self.kept.iter().map(|word| word.count_ones()).sum();
        (u64::from(units) * UNIT).min(self.size)
    }

    /// Closes the file on the shelf until it is needed again.
    pub(super) fn rest(&mut self) {
        self.copy = None;
    }

    fn copy(&mut self, shelf: &Shelf) -> io::Result<Rc<File>> {
        if let Some(copy) = &self.copy {
            return Ok(Rc::clone(copy));
        }
        let pin = sys::pin(shelf.dir(), OsStr::new(&self.place.name()))?;
        let copy = Rc::new(sys::reopen(pin.as_fd(), OFlag::O_RDWR)?);
        self.copy = Some(Rc::clone(&copy));
        Ok(copy)
    }

    /// Keeps what a range of the file has, where that isn't kept.
    ///
    /// # Errors
    /// If it can't be read or written: a full disk above all. Then nothing counts as kept.
    pub(super) fn keep(
        &mut self,
        file: &File,
        offset: u64,
        length: u64,
        shelf: &Shelf,
    ) -> io::Result<()> {
        let (from, to) = units(offset, length, self.size);
        let runs = self.runs(from, to, false);
        if runs.is_empty() {
            return Ok(());
        }
        // To look for the next hole takes milliseconds on tmpfs if there is none.
        let now = file.metadata()?;
        let may_have_holes = now.blocks().saturating_mul(BLOCK) < now.len();
        for (from, to) in runs {
            let copy = self.copy(shelf)?;
            let end = (to * UNIT).min(self.size);
            let mut at = from * UNIT;
            if !may_have_holes {
                copy_bytes(file, &copy, at, end)?;
                at = end;
            }
            while let Some((data, hole)) = next_data(file, at, end) {
                copy_bytes(file, &copy, data, hole)?;
                at = hole;
            }
            self.mark(from, to);
        }
        Ok(())
    }

    /// Takes over from a later state what wasn't overwritten before it. `later` has the units that
    /// `has` says.
    ///
    /// # Errors
    /// As above.
    pub(super) fn fill_from(
        &mut self,
        later: &File,
        has: impl Fn(u64) -> bool,
        shelf: &Shelf,
    ) -> io::Result<()> {
        for unit in 0..self.size.div_ceil(UNIT) {
            if has(unit) {
                self.keep(later, unit * UNIT, UNIT, shelf)?;
            }
        }
        Ok(())
    }

    /// The same from the bytes of a file that was small then. They end within a unit at the most.
    ///
    /// # Errors
    /// As above.
    pub(super) fn fill_small(&mut self, bytes: &[u8], shelf: &Shelf) -> io::Result<()> {
        let length = bytes
            .len()
            .min(usize::try_from(self.size).unwrap_or(usize::MAX));
        for (from, to) in self.runs(0, (length as u64).div_ceil(UNIT), false) {
            let range = |unit: u64| usize::try_from(unit * UNIT).unwrap_or(length).min(length);
            let copy = self.copy(shelf)?;
            copy.write_all_at(&bytes[range(from)..range(to)], from * UNIT)?;
            self.mark(from, to);
        }
        Ok(())
    }

    /// The same from blocks.
    ///
    /// # Errors
    /// As above.
    pub(super) fn fill_from_blocks(
        &mut self,
        later: &mut Self,
        own_shelf: &Shelf,
        shelf_of_later: &Shelf,
    ) -> io::Result<()> {
        let copy = later.copy(shelf_of_later)?;
        self.fill_from(&copy, |unit| later.has(unit), own_shelf)
    }

    /// Reads what is kept of the first bytes.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn read(&self, shelf: &Shelf, bytes: &mut [u8]) -> io::Result<()> {
        let copy = self.clone().copy(shelf)?;
        let length = self.size.min(bytes.len() as u64);
        for (from, to) in self.runs(0, length.div_ceil(UNIT), true) {
            let place = |unit: u64| usize::try_from((unit * UNIT).min(length)).unwrap_or(0);
            copy.read_exact_at(&mut bytes[place(from)..place(to)], from * UNIT)?;
        }
        Ok(())
    }

    /// Puts back what is kept, and the size.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub(super) fn restore(&self, file: &File, shelf: &Shelf) -> io::Result<()> {
        let mut this = self.clone();
        let copy = this.copy(shelf)?;
        file.set_len(self.size)?;
        let mut pieces = (vec![0; PIECE], vec![0; PIECE]);
        for (from, to) in self.runs(0, self.size.div_ceil(UNIT), true) {
            let end = (to * UNIT).min(self.size);
            let mut at = from * UNIT;
            while at < end {
                let (data, hole) = next_data(&copy, at, end).unwrap_or((end, end));
                clear(file, at, data)?;
                write_differences(&copy, file, data, hole, &mut pieces)?;
                at = hole;
            }
        }
        Ok(())
    }

    /// The same as of an earlier time, when the file was shorter and the rest of it the same.
    pub(super) fn cut_to(&mut self, earlier: u64) {
        self.size = self.size.min(earlier);
    }
}
