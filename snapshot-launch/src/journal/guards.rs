//! Guarded files: big files that the program has open for writing, and that ask before a part of
//! them is overwritten ([`snapshot_core::terms::guards`] says how).
//!
//! A file is guarded for as long as it is open in programs whose libc has the jumps, and no
//! longer than the memory that those programs look at. What is kept is in the newest level; the
//! bits in the shared memory only save questions. So every change of levels clears them all, and
//! the first write to each unit asks again.
//!
//! The memory comes from the program, so nothing is believed that it says: the journal writes to
//! it and never reads it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use snapshot_core::terms::guards::{
    BEGUN, BITMAPS, BYTES, DONE, FIRST_SLOT, SLOT_WORDS, SLOTS, UNIT, USED, units,
};

use super::stat::{FileId, Stat};
use super::sys;

/// Smaller files are copied: 256 KiB take some 0.1 ms, and a take with fifty of them was as long as
/// one with fifty that were guarded. A megabyte takes 0.4 ms and, where the disk is busy, ten times
/// that or more.
pub(super) const SMALLEST: u64 = 256 * 1024;

/// Writes that follow each other: this much is kept ahead of them. So few of them ask, and none waits
/// for much longer than for its own part.
const AHEAD: u64 = 128 * 1024;

/// The program's memory, and the files in it.
#[derive(Debug, Default)]
pub(super) struct Guards {
    memory: Option<Memory>,
    slots: Vec<Option<Slot>>,
    /// How often a guarded file has got a descriptor, or the slots have changed. Processes
    /// forget by it which descriptors have none.
    changes: u64,
    giving: Giving,
}

/// Whether a guarded file gets a descriptor now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Giving {
    #[default]
    No,
    /// In answer to this call.
    Now,
    /// The kernel does it, nobody knows when.
    Sometime,
}

#[derive(Debug)]
struct Memory {
    file: File,
    id: FileId,
}

/// A guarded file.
#[derive(Debug)]
struct Slot {
    id: FileId,
    size: u64,
    /// Where its bitmap is in the memory, and its length.
    bitmap: (u64, u64),
    bits: Vec<u8>,
    file: File,
    /// Where the range ended that was asked about last.
    last_end: u64,
    is_wanted: bool,
}

impl Guards {
    /// A program has the jumps, and looks here. That of an earlier program is used no more.
    pub(super) fn use_memory(&mut self, fd: OwnedFd) {
        self.clear();
        self.slots.clear();
        self.memory = None;
        let Ok(stat) = Stat::of_fd(fd.as_fd()) else {
            return;
        };
        let file = File::from(fd);
        // What is written there must be memory and nothing else.
        if stat.size == BYTES as u64 && is_memory(stat.id.dev) {
            // More than an earlier journal can have counted.
            self.changes = self.changes.max(snapshot_core::sys::now_ns() >> 10);
            self.memory = Some(Memory { file, id: stat.id });
            // An earlier journal may have written there.
            self.clear();
        }
    }

    /// Whether the writes of this process ask: it has the memory, and so the jumps. Both come
    /// from the program's first take and end with an exec.
    pub(super) fn reach(&self, pid: i32) -> bool {
        let Some(memory) = &self.memory else {
            return false;
        };
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let inode = memory.id.ino.to_string();
        maps.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(4);
            fields.next() == Some(&inode) && fields.next() == Some("/memfd:cargo-snapshot-guards")
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    pub(super) fn has(&self, id: FileId) -> bool {
        self.slots.iter().flatten().any(|slot| slot.id == id)
    }

    /// Guards a file, or does so anew. False if there is no room.
    pub(super) fn add(&mut self, pin: BorrowedFd<'_>, stat: &Stat) -> bool {
        let length = stat.size.div_ceil(UNIT).div_ceil(8).next_multiple_of(8);
        let known = (self.slots.iter_mut().flatten()).find(|slot| slot.id == stat.id);
        if let Some(slot) = known
            && length <= slot.bitmap.1
        {
            slot.size = slot.size.max(stat.size);
            slot.is_wanted = true;
            return self.write_slots().is_ok();
        }
        let (Some(offset), Ok(file)) = (self.room(length), sys::reopen_quietly(pin)) else {
            return false;
        };
        let slot = Slot {
            id: stat.id,
            size: stat.size,
            bitmap: (offset, length),
            bits: vec![0; usize::try_from(length).unwrap_or(0)],
            file,
            last_end: u64::MAX,
            is_wanted: true,
        };
        let place = self
            .slots
            .iter()
            .position(|place| place.as_ref().is_none_or(|there| there.id == stat.id));
        match place {
            Some(place) => self.slots[place] = Some(slot),
            None if self.slots.len() < SLOTS => self.slots.push(Some(slot)),
            None => return false,
        }
        self.write_slots().is_ok()
    }

    /// A free place for a bitmap.
    fn room(&self, length: u64) -> Option<u64> {
        let mut taken: Vec<(u64, u64)> = self
            .slots
            .iter()
            .flatten()
            .map(|slot| slot.bitmap)
            .collect();
        taken.sort_unstable();
        let mut at = BITMAPS as u64;
        for (start, length_of_it) in taken {
            if at + length <= start {
                break;
            }
            at = start + length_of_it;
        }
        (at + length <= BYTES as u64).then_some(at)
    }

    /// Nothing counts as kept any more: another level is the newest.
    pub(super) fn forget_bits(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.bits.fill(0);
            slot.last_end = u64::MAX;
        }
        if let Some(memory) = &self.memory {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let (start, length) = (BITMAPS.cast_signed() as i64, (BYTES - BITMAPS) as i64);
            let _ = fallocate(&memory.file, flags, start, length);
        }
    }

    /// A level begins: only those files stay guarded that are added from now on.
    pub(super) fn begin(&mut self) {
        self.forget_bits();
        // Everybody stands still, outside of any call.
        self.giving = Giving::No;
        for slot in self.slots.iter_mut().flatten() {
            slot.is_wanted = false;
        }
    }

    /// Ends it for the others.
    pub(super) fn end_unwanted(&mut self) {
        for slot in &mut self.slots {
            slot.take_if(|slot| !slot.is_wanted);
        }
        let _ = self.write_slots();
    }

    /// No file is guarded any more.
    pub(super) fn clear(&mut self) {
        self.forget_bits();
        self.slots.clear();
        let _ = self.write_slots();
    }

    /// What to keep for a question, and the file to read it from. More than it asks for, if the
    /// file is written from front to back.
    pub(super) fn widened(&mut self, id: FileId, offset: u64, length: u64) -> (u64, Option<&File>) {
        let slot = self.slots.iter_mut().flatten().find(|slot| slot.id == id);
        let Some(slot) = slot else {
            return (length, None);
        };
        let follows = offset == slot.last_end || offset / UNIT * UNIT == slot.last_end;
        let length = if follows { length.max(AHEAD) } else { length };
        let end = offset.saturating_add(length);
        slot.last_end = end.checked_next_multiple_of(UNIT).unwrap_or(end);
        (length, Some(&slot.file))
    }

    /// This range is kept in the newest level.
    pub(super) fn kept(&mut self, id: FileId, offset: u64, length: u64) {
        let Some(slot) = self.slots.iter_mut().flatten().find(|slot| slot.id == id) else {
            return;
        };
        let (first, end) = units(offset, length, slot.size);
        for unit in first..end {
            let byte = usize::try_from(unit / 8).unwrap_or(usize::MAX);
            if let Some(byte) = slot.bits.get_mut(byte) {
                *byte |= 1 << (unit % 8);
            }
        }
        let range = |unit: u64| usize::try_from(unit).unwrap_or(usize::MAX);
        let bytes = slot.bits.get(range(first / 8)..range(end.div_ceil(8)));
        if let (Some(memory), Some(bytes)) = (&self.memory, bytes) {
            let _ = memory.file.write_all_at(bytes, slot.bitmap.0 + first / 8);
        }
    }

    /// A guarded file is about to get a descriptor, by the answer to this call.
    pub(super) fn gives(&mut self, id: FileId) {
        if self.has(id) && self.giving == Giving::No {
            self.giving = Giving::Now;
            self.changes += 1;
            let _ = self.write_word(BEGUN, self.changes);
        }
    }

    /// The call is answered; or the kernel carries it out.
    pub(super) fn has_answered(&mut self, by_kernel: bool) {
        match self.giving {
            Giving::Now if by_kernel => self.giving = Giving::Sometime,
            Giving::Now => {
                self.giving = Giving::No;
                let _ = self.write_word(DONE, self.changes);
            }
            Giving::No | Giving::Sometime => {}
        }
    }

    fn write_word(&self, index: usize, word: u64) -> io::Result<()> {
        let memory = self.memory.as_ref().ok_or(io::ErrorKind::NotFound)?;
        (memory.file).write_all_at(&word.to_ne_bytes(), index as u64 * 8)
    }

    fn write_slots(&mut self) -> io::Result<()> {
        self.changes += 1;
        self.write_word(BEGUN, self.changes)?;
        let mut words = [0_u64; SLOTS * SLOT_WORDS];
        for (words, slot) in words.chunks_exact_mut(SLOT_WORDS).zip(&self.slots) {
            if let Some(slot) = slot {
                let of_slot = [slot.id.dev, slot.id.ino, slot.size, slot.bitmap.0];
                words.copy_from_slice(&of_slot);
            }
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if let Some(memory) = &self.memory {
            memory.file.write_all_at(&bytes, FIRST_SLOT as u64 * 8)?;
        }
        let used = (self.slots.iter().rposition(Option::is_some)).map_or(0, |last| last + 1);
        self.write_word(USED, used as u64)?;
        match self.giving {
            Giving::No => self.write_word(DONE, self.changes),
            Giving::Now | Giving::Sometime => Ok(()),
        }
    }
}

/// Whether this is the kernel's filesystem for memory files.
fn is_memory(device: u64) -> bool {
    let own = memfd_create(c"cargo-snapshot-journal", MFdFlags::MFD_CLOEXEC);
    own.is_ok_and(|own| Stat::of_fd(own.as_fd()).is_ok_and(|stat| stat.id.dev == device))
}
