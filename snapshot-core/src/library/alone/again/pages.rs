//! The pages of a run: which of them it has written, and what was in them.
//!
//! A page that the copy has to itself is one that it has written, since the original had all pages in common
//! with it. The kernel's map of pages says that. It is read only after a run that has had page faults: one
//! without any has written only to pages that the copy had to itself before.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes to the program's memory")]

use crate::arch;
use crate::kernel::{proc_text, procfs};
use crate::sys::{self, Errno, PageRange};

const PAGE: usize = 4096;

/// With more, a new copy is faster.
const MOST: usize = 4096;
const SLOTS: usize = 2 * MOST;

/// The entries of the kernel's map that are read at once.
const ENTRIES: usize = 4096;
/// The ranges in use that are asked for at once.
const RANGES: usize = 256;
/// Mappings that are larger are asked for the ranges in use first.
const LARGE: usize = 64 << 20;

/// How many bytes the kernel registers of restartable sequences, and writes.
const RSEQ_BYTES: usize = 32;

// Bits of an entry.
const IS_PRESENT: u64 = 1 << 63;
const IS_SWAPPED: u64 = 1 << 62;
const IS_OF_FILE: u64 = 1 << 61;
const IS_OWN: u64 = 1 << 56;

/// Where to look.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    /// The kernel's map of the copy's pages: a descriptor.
    pub(super) pagemap: i32,
    /// The process that has the originals.
    pub(super) original: i32,
    /// Where the kernel writes by itself; 0 if it doesn't.
    pub(super) rseq: usize,
}

pub(super) struct Pages {
    count: usize,
    /// The thread's page faults at the last look.
    faults: i64,
    /// Where the kernel writes by itself; 0 if it doesn't.
    rseq: usize,
    addresses: [usize; MOST],
    /// Which addresses are known: hashed, 0 for an empty place.
    known: [usize; SLOTS],
    entries: [u64; ENTRIES],
    ranges: [PageRange; RANGES],
    originals: [[u8; PAGE]; MOST],
}

impl Pages {
    /// Of another copy.
    pub(super) fn forget(&mut self) {
        self.count = 0;
        self.faults = -1;
        self.known.fill(0);
    }

    /// After a run: finds the pages that it has written.
    ///
    /// # Errors
    /// There are too many, or the kernel can't say.
    pub(super) fn look(&mut self, from: Sources) -> Result<(), Errno> {
        let faults = sys::page_faults();
        if faults == self.faults {
            return Ok(());
        }
        // What is looked at, and put back, has faults as well: they count for the next look.
        self.faults = faults;
        self.rseq = from.rseq;
        let mut outcome = Ok(());
        procfs::for_each_line(c"/proc/thread-self/maps", |line| {
            if let Some(mapping) = proc_text::file_mapping(line)
                && outcome.is_ok()
                && !mapping.is_shared
                && mapping.protection & libc::PROT_WRITE != 0
            {
                let is_stack = mapping.path == b"[stack]";
                outcome = self.look_in(from, mapping.range.start, mapping.range.end, is_stack);
            }
        })?;
        outcome
    }

    fn look_in(
        &mut self,
        from: Sources,
        start: usize,
        end: usize,
        is_stack: bool,
    ) -> Result<(), Errno> {
        if end - start <= LARGE {
            return self.look_at(from, start, end, is_stack);
        }
        let mut at = start;
        while at < end {
            let count = sys::pages_in_use(from.pagemap, at, end, &mut self.ranges)?;
            for index in 0..count {
                if let Some(range) = self.ranges.get(index).copied() {
                    self.look_at(from, range.start, range.end, is_stack)?;
                }
            }
            at = match self.ranges.last() {
                Some(last) if count == RANGES => last.end,
                _ => end,
            };
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        from: Sources,
        start: usize,
        end: usize,
        is_stack: bool,
    ) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let wanted = ((end - at) / PAGE).min(ENTRIES);
            let room = self.entries.get_mut(..wanted).unwrap_or(&mut []);
            let read = sys::read_words_at(from.pagemap, room, (at / PAGE * 8) as u64)?;
            if read == 0 {
                return Err(Errno(libc::EIO));
            }
            for index in 0..read {
                let entry = self.entries.get(index).copied().unwrap_or(0);
                let is_own = entry & (IS_PRESENT | IS_OWN | IS_OF_FILE) == IS_PRESENT | IS_OWN;
                if is_own || entry & IS_SWAPPED != 0 {
                    self.add(from.original, at + index * PAGE, is_stack)?;
                }
            }
            at += read * PAGE;
        }
        Ok(())
    }

    fn add(&mut self, original: i32, address: usize, is_stack: bool) -> Result<(), Errno> {
        let mut slot = (address / PAGE).wrapping_mul(0x9e37_79b9) % SLOTS;
        while let Some(place) = self.known.get_mut(slot) {
            if *place == address {
                return Ok(());
            }
            if *place == 0 {
                break;
            }
            slot = (slot + 1) % SLOTS;
        }
        let (Some(room), Some(page), Some(place)) = (
            self.addresses.get_mut(self.count),
            self.originals.get_mut(self.count),
            self.known.get_mut(slot),
        ) else {
            return Err(Errno(libc::ENOSPC));
        };
        match sys::read_memory_of(original, address, page) {
            Ok(()) => {}
            // The stack has grown.
            Err(Errno(libc::EFAULT)) if is_stack => page.fill(0),
            Err(errno) => return Err(errno),
        }
        *room = address;
        *place = address;
        self.count += 1;
        Ok(())
    }

    /// Writes the originals back.
    ///
    /// # Safety
    /// Nothing of the program may run.
    pub(super) unsafe fn put_back(&self) {
        let pages = self.addresses.iter().zip(&self.originals);
        for (address, page) in pages.take(self.count) {
            let copy = |from: usize, to: usize| {
                if let Some(part) = page.get(from..to) {
                    // SAFETY: the run has written this page, and the caller's promise.
                    unsafe { arch::copy_words(address + from, part) };
                }
            };
            match self.rseq.wrapping_sub(*address) {
                // The kernel keeps this part up to date: which processor the thread is on.
                at if at < PAGE => {
                    copy(0, at);
                    copy((at + RSEQ_BYTES).min(PAGE), PAGE);
                }
                _ => copy(0, PAGE),
            }
        }
    }
}
