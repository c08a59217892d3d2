//! Memory that the program marks to be wiped in copies (MADV_WIPEONFORK, MAP_DROPPABLE). A
//! revived snapshot is no copy to the program, so it has the bytes again, and the guard pages
//! in them (MADV_GUARD_INSTALL).
//!
//! The kernel lists this memory in `smaps` alone, at some 60 ms a gigabyte. So [`note_wiped`]
//! records it as the program marks it; marks by a raw system call, or inside of libc, are not
//! seen. Records are kept: if something else is mapped there since, the copy has it anyway, and
//! to write the same bytes again changes nothing.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes the program's memory as it was")]

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::memory::{PAGE, Pages};
use crate::kernel::{procfs, records::Records};
use crate::sys::{self, Errno};

/// More areas than any known program has; with more, takes are refused.
const MOST: usize = 1024;

/// The areas; a start of 0 is an empty entry.
static STARTS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
static ENDS: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];
/// How many entries have ever been used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Whether an area found no entry.
static IS_FULL: AtomicBool = AtomicBool::new(false);

/// Records memory that the program has marked. It may be recorded twice.
pub fn note_wiped(start: usize, length: usize) {
    let start = start & !(PAGE - 1);
    let Some(end) = length
        .checked_add(PAGE - 1)
        .and_then(|length| start.checked_add(length & !(PAGE - 1)))
        .filter(|&end| start != 0 && end > start)
    else {
        return;
    };
    for (known_start, known_end) in STARTS.iter().zip(&ENDS).take(USED.load(Ordering::Acquire)) {
        // The end is stored last and read first, so an area never looks longer than it is.
        let is_known = known_end.load(Ordering::Acquire) >= end
            && known_start.load(Ordering::Relaxed) <= start
            && known_start.load(Ordering::Relaxed) != 0;
        if is_known {
            return;
        }
    }
    let mut number = USED.load(Ordering::Acquire);
    while let (Some(place), Some(place_end)) = (STARTS.get(number), ENDS.get(number)) {
        if place
            .compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            place_end.store(end, Ordering::Release);
            USED.fetch_max(number + 1, Ordering::AcqRel);
            return;
        }
        number += 1;
    }
    // The entry of unmapped memory is free.
    for (place, place_end) in STARTS.iter().zip(&ENDS) {
        let gone = place.load(Ordering::Acquire);
        let is_gone = sys::resident_pages(gone, PAGE, &mut [0]).is_err();
        if is_gone
            && place
                .compare_exchange(gone, start, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            place_end.store(end, Ordering::Release);
            return;
        }
    }
    IS_FULL.store(true, Ordering::Release);
}

/// The contents of one area.
#[derive(Clone, Copy)]
struct Area {
    start: usize,
    pages: Pages,
}

/// The contents of all areas.
pub(super) struct Wiped {
    areas: Records<Area>,
    /// Guard pages, which nobody may touch.
    guards: Records<usize>,
}

/// A page's entry in `/proc/self/pagemap`.
const IS_PRESENT: u64 = 1 << 63;
const IS_SWAPPED: u64 = 1 << 62;
/// Linux 6.15.
const IS_GUARD: u64 = 1 << 58;

impl Wiped {
    /// Records it in the original, with all threads parked. With `reseed` it records nothing,
    /// so the memory comes back wiped.
    ///
    /// # Errors
    /// ENOMEM, and ENOSPC if the program has more areas than can be recorded.
    pub(super) fn record(reseed: bool) -> Result<Self, Errno> {
        let mut wiped = Self {
            areas: Records::growing(),
            guards: Records::growing(),
        };
        let used = USED.load(Ordering::Acquire);
        if reseed || used == 0 {
            return Ok(wiped);
        }
        if IS_FULL.load(Ordering::Acquire) {
            return Err(Errno(libc::ENOSPC));
        }
        // A program that can't be inspected can't open this; then another call finds the pages
        // in memory, and guards are not seen.
        let map = sys::open_to_read(c"/proc/thread-self/pagemap", 0).ok();
        let mut outcome = Ok(());
        for (start, end) in STARTS.iter().zip(&ENDS).take(used) {
            let end = end.load(Ordering::Acquire);
            let start = start.load(Ordering::Relaxed);
            if outcome.is_ok() && end > start {
                outcome = wiped.record_area(start, end - start, map);
            }
        }
        if let Some(map) = map {
            sys::close(map);
        }
        match outcome {
            Ok(()) => Ok(wiped),
            Err(errno) => {
                wiped.release();
                Err(errno)
            }
        }
    }

    fn record_area(&mut self, start: usize, length: usize, map: Option<i32>) -> Result<(), Errno> {
        let guards = &mut self.guards;
        let pages = Pages::record(
            length,
            |marks| match map {
                Some(map) => mark_by_map(map, start, marks, guards),
                None => {
                    marks.fill(1);
                    Ok(())
                }
            },
            // Unmapped memory can't be read.
            |number, page| read_page(start + number * PAGE, page),
        )?;
        self.areas.push(Area { start, pages })
    }

    /// Writes back what differs, in a copy before the program runs; returns how many areas
    /// failed.
    pub(super) fn restore(&self) -> u32 {
        let mut failed = 0;
        for area in self.areas.entries() {
            let mut is_right = true;
            area.pages.for_each(|number, copied| {
                if let Some(page) = copied {
                    is_right &= write_page(area.start + number * PAGE, page);
                }
            });
            failed += u32::from(!is_right);
        }
        for &guard in self.guards.entries() {
            const GUARD_INSTALL: i32 = 102;
            // SAFETY: nobody could touch the page in the original, so it has no bytes.
            let installed = unsafe { sys::advise(guard, PAGE, GUARD_INSTALL) };
            failed += u32::from(installed.is_err());
        }
        failed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.areas.entries().is_empty()
    }

    pub(super) fn release(self) {
        for area in self.areas.entries() {
            area.pages.release();
        }
        self.areas.release();
        self.guards.release();
    }
}

fn mark_by_map(
    map: i32,
    start: usize,
    marks: &mut [u8],
    guards: &mut Records<usize>,
) -> Result<(), Errno> {
    const AT_ONCE: usize = 64;
    let mut entries = [0_u8; AT_ONCE * 8];
    for (number, marks) in marks.chunks_mut(AT_ONCE).enumerate() {
        let first = start + number * AT_ONCE * PAGE;
        let entries = entries.get_mut(..marks.len() * 8).unwrap_or(&mut []);
        let length = sys::read_at(map, entries, (first / PAGE * 8) as u64)?;
        let (entries, _) = entries.split_at(length.min(entries.len()));
        for (page, (entry, mark)) in entries.chunks_exact(8).zip(marks).enumerate() {
            let entry = u64::from_ne_bytes(entry.try_into().unwrap_or([0; 8]));
            *mark = u8::from(entry & (IS_PRESENT | IS_SWAPPED) != 0 && entry & IS_GUARD == 0);
            if entry & IS_GUARD != 0 {
                guards.push(first + page * PAGE)?;
            }
        }
    }
    Ok(())
}

/// Memory as a debugger reads it, whatever the program's protections.
const MEMORY: &core::ffi::CStr = c"/proc/thread-self/mem";

fn read_page(address: usize, page: &mut [u8]) -> bool {
    sys::read_own_memory(address, page).is_ok()
        || procfs::with_descriptor(sys::open_to_read(MEMORY, 0), |memory| {
            sys::read_at(memory, page, address as u64) == Ok(page.len())
        })
}

fn write_page(address: usize, page: &[u8]) -> bool {
    let mut now = [0; PAGE];
    if sys::read_own_memory(address, &mut now).is_ok() && now == *page {
        return true;
    }
    // SAFETY: the program's threads don't run yet, and the memory gets its recorded bytes.
    let written = unsafe { sys::write_own_memory(address, page) };
    written == Ok(page.len())
        || procfs::with_descriptor(sys::open(MEMORY, libc::O_WRONLY), |memory| {
            sys::write_at(memory, page, address as u64) == Ok(page.len())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_noted_once_and_its_bytes_come_back() {
        let memory = sys::map_memory(4 * PAGE, false).expect("memory");
        let start = memory.as_ptr().expose_provenance();
        note_wiped(start, 3 * PAGE);
        let used = USED.load(Ordering::Acquire);
        note_wiped(start + PAGE, 100);
        assert_eq!(USED.load(Ordering::Acquire), used, "it is within the first");
        // SAFETY: mapped above.
        unsafe { memory.as_ptr().wrapping_add(PAGE + 7).write(7) };
        let wiped = Wiped::record(false).expect("memory");
        // SAFETY: as above.
        unsafe { memory.as_ptr().wrapping_add(PAGE + 7).write(0) };
        assert_eq!(wiped.restore(), 0);
        // SAFETY: as above.
        assert_eq!(unsafe { memory.as_ptr().wrapping_add(PAGE + 7).read() }, 7);
        wiped.release();
        // SAFETY: as above.
        unsafe { sys::unmap_memory(memory, 4 * PAGE) };
        // Unmapped memory is no obstacle.
        let wiped = Wiped::record(false).expect("memory");
        assert_eq!(wiped.restore(), 0);
        wiped.release();
    }
}
