//! Memory in huge pages makes copies cheap: the kernel copies one entry of its tables for 2 MB, and
//! not 512.
//!
//! It costs about a second a GB, so it pays where many copies are made of memory that the original
//! doesn't write to meanwhile.
//!
//! Not used: a private map of a file that has the contents. Copies of that are cheaper still, but
//! memory that the program gives back (`MADV_DONTNEED`) would have the old contents again, where
//! allocators rely on zeros.
//!
//! Context: AS-SAFE.

use crate::kernel::{proc_text, procfs};
use crate::sys::{self, PageRange};

const PAGE: usize = 4096;
const HUGE: usize = 2 << 20;
const PAGES: usize = HUGE / PAGE;

/// Mappings that are larger are asked for the ranges in use first: sanitizers map terabytes.
const LARGE: usize = 1 << 30;
/// The ranges that are asked for at once.
const RANGES: usize = 64;

/// Makes huge pages of the private memory of this process, where at least half of one is in use.
/// Returns the bytes. Before Linux 6.1, and where the program has forbidden it, nothing happens.
///
/// The other threads should stand still: they would wait for the memory that is being moved.
pub(crate) fn gather() -> usize {
    let mut gathered = 0;
    let _ = procfs::for_each_line(c"/proc/thread-self/maps", |line| {
        if let Some(mapping) = proc_text::file_mapping(line)
            && !mapping.is_shared
            && mapping.inode == 0
            && mapping.protection & libc::PROT_WRITE != 0
        {
            let (start, end) = (mapping.range.start, mapping.range.end);
            gathered += if end - start > LARGE {
                gather_where_used(start, end)
            } else {
                gather_in(start, end)
            };
        }
    });
    gathered
}

/// Without the kernel's list of ranges (before Linux 6.7) such a mapping stays as it is.
fn gather_where_used(start: usize, end: usize) -> usize {
    let Ok(pagemap) = sys::open_to_read(c"/proc/thread-self/pagemap", 0) else {
        return 0;
    };
    let mut gathered = 0;
    let mut at = start;
    while at < end {
        let mut ranges = [PageRange::default(); RANGES];
        let Ok(count) = sys::pages_in_use(pagemap, at, end, &mut ranges) else {
            break;
        };
        for range in ranges.iter().take(count) {
            // Ranges end where one page is not in use. A huge page is made of several ranges, then.
            let from = (range.start & !(HUGE - 1)).max(at);
            let to = range.end.next_multiple_of(HUGE).min(end);
            if to > at {
                gathered += gather_in(from, to);
                at = to;
            }
        }
        if count < RANGES {
            break;
        }
    }
    sys::close(pagemap);
    gathered
}

fn gather_in(start: usize, end: usize) -> usize {
    let mut gathered = 0;
    let mut at = start.next_multiple_of(HUGE);
    while at.saturating_add(HUGE) <= end {
        let mut pages = [0; PAGES];
        let asked = sys::resident_pages(at, HUGE, &mut pages);
        let resident = pages.iter().filter(|page| **page & 1 != 0).count();
        if asked.is_ok() && resident >= PAGES / 2 && sys::make_huge(at, HUGE).is_ok() {
            gathered += HUGE;
        }
        at += HUGE;
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the mapping's length alone this would take some seconds.
    #[test]
    fn of_terabytes_only_what_is_in_use_is_looked_at() {
        const BYTES: usize = 16 << 40;
        let start = sys::reserve_addresses(BYTES).expect("there are addresses");
        assert_eq!(gather_where_used(start, start + BYTES), 0);
    }

    #[test]
    fn memory_keeps_its_contents() {
        let mut words = vec![0_usize; (8 << 20) / size_of::<usize>()];
        for (number, word) in words.iter_mut().enumerate() {
            *word = number;
        }
        let start = words.as_ptr().addr();
        let gathered = gather_in(start, start + size_of_val(words.as_slice()));
        assert!(gathered.is_multiple_of(HUGE) && gathered <= 8 << 20);
        assert!(
            words
                .iter()
                .enumerate()
                .all(|(number, word)| number == *word)
        );
    }
}
