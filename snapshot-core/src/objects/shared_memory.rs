//! Shared mappings: anonymous ones (`MAP_ANONYMOUS`, System V), memory files without a
//! descriptor, and files. Both sides share the contents, so the frozen side copies them and
//! writes them back.
//!
//! Of a file only the mapped part comes back, and only if no other process maps the file. Where
//! there is a journal, it keeps whole files, and this leaves them to it.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes to the program's memory")]

use super::{
    descriptors::Descriptors,
    file_contents::file_contents,
    holders,
    recording::{Object, Recording},
};
use crate::kernel::{
    proc_text::{self, FileMapping},
    procfs,
    records::Records,
};
use crate::process::{
    memory::{EMPTY, PAGE, Pages},
    own_memory::is_kept_out,
};
use crate::sys::{self, Errno};
use crate::terms::{
    Kind, Origin,
    comes_back::{self, FileContents, Rooms},
};

#[derive(Clone, Copy)]
struct Area {
    start: usize,
    length: usize,
    protection: i32,
    /// Its file's device and inode.
    file: ((u32, u32), u64),
    is_file: bool,
    is_elsewhere: bool,
    pages: Option<Pages>,
}

/// All shared mappings.
pub(super) struct SharedMemory(Records<Area>);

impl Object for SharedMemory {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut areas: Records<Area> = Records::growing();
        let mut outcome = Ok(());
        procfs::for_each_line(c"/proc/thread-self/maps", |line| {
            let Some(mapping) = proc_text::shared_mapping(line) else {
                return;
            };
            if outcome.is_ok() && !is_kept_out(mapping.range.start) {
                outcome = recording.mappings.note(&mapping);
            }
            if let Some(area) = area_of(&mapping, recording.open)
                && outcome.is_ok()
            {
                outcome = areas.push(area);
            }
        })?;
        outcome?;
        let mut found = Self(areas);
        found.look_elsewhere(recording.original)?;
        found.copy(recording)?;
        Ok(found)
    }

    fn restore(&self, _: &Descriptors) -> u32 {
        self.0.entries().iter().map(Area::restore).sum()
    }

    fn release(self) {
        for area in self.0.entries() {
            if let Some(pages) = area.pages {
                pages.release();
            }
        }
        self.0.release();
    }
}

/// The area to record of a mapping, if any.
fn area_of(mapping: &FileMapping<'_>, open: &Descriptors) -> Option<Area> {
    let FileMapping {
        range,
        protection,
        device,
        inode,
        path,
        ..
    } = *mapping;
    let origin = Origin::of(path)?;
    let has_descriptor = || {
        let mut memfds = open.of_kind(Kind::Memfd);
        memfds.any(|(_, group)| group.inode == inode)
    };
    let found = comes_back::Mapping {
        origin,
        can_write: protection & libc::PROT_WRITE != 0,
        has_descriptor: origin == Origin::Memfd && has_descriptor(),
    };
    let is_journals = origin == Origin::File && file_contents() == FileContents::Kept;
    if is_journals || !found.is_recorded() || is_kept_out(range.start) {
        return None;
    }
    Some(Area {
        start: range.start,
        length: range.end - range.start,
        protection,
        file: (device, inode),
        is_file: origin == Origin::File,
        is_elsewhere: false,
        pages: None,
    })
}

impl SharedMemory {
    /// Whether nothing of it has to be written back.
    pub(super) fn is_empty(&self) -> bool {
        self.0.entries().iter().all(|area| area.pages.is_none())
    }

    /// Marks the areas that another process maps, too.
    fn look_elsewhere(&mut self, original: i32) -> Result<(), Errno> {
        // Sorted by file, for the search.
        self.0.entries_mut().sort_unstable_by_key(|area| area.file);
        let mut left = self.0.entries().len();
        if left == 0 {
            return Ok(());
        }
        holders::for_each_other(original, |pid| {
            if left == 0 {
                return;
            }
            holders::by_first_living(pid, |tid| {
                let mut lines = 0;
                procfs::of_process(tid, b"/maps\0", |path| {
                    procfs::for_each_line(path, |line| {
                        lines += 1;
                        if let Some(mapping) = proc_text::shared_mapping(line) {
                            left -= self.mark_elsewhere((mapping.device, mapping.inode));
                        }
                    })
                    .ok()
                })?;
                Some(lines)
            });
        })
    }

    /// Marks the areas of a file that another process maps. Returns how many are newly marked.
    fn mark_elsewhere(&mut self, file: ((u32, u32), u64)) -> usize {
        let areas = self.0.entries_mut();
        let first = areas.partition_point(|area| area.file < file);
        let of_file = areas.get_mut(first..).unwrap_or(&mut []).iter_mut();
        of_file
            .take_while(|area| area.file == file)
            .filter(|area| !area.is_elsewhere)
            .map(|area| area.is_elsewhere = true)
            .count()
    }

    fn copy(&mut self, recording: &mut Recording<'_>) -> Result<(), Errno> {
        let is_swapped = sys::is_swapping();
        let mut rooms = Rooms::new(file_contents());
        for area in self.0.entries_mut() {
            let bytes = area.length as u64;
            if let Some(why) = rooms.why(area.is_file, area.is_elsewhere, bytes) {
                recording.name(Kind::SharedMemory, why, -1, area.start as u64);
                continue;
            }
            area.pages = Some(area.copy(is_swapped)?);
        }
        Ok(())
    }
}

impl Area {
    fn copy(&self, is_swapped: bool) -> Result<Pages, Errno> {
        Pages::record(
            self.length,
            |marks| {
                if self.is_file || is_swapped {
                    // Pages of a file that are not in memory must be read, too.
                    marks.fill(1);
                    return Ok(());
                }
                sys::resident_pages(self.start, self.length, marks)
            },
            // Behind the end of a file there is nothing to read.
            |number, page| sys::read_own_memory(self.start + number * PAGE, page).is_ok(),
        )
    }

    /// Writes back the pages that differ. Returns 1 if that failed.
    fn restore(&self) -> u32 {
        let Some(pages) = self.pages else {
            return 0;
        };
        let mut failed = 0;
        let mut now = [0; PAGE];
        let is_open = self.protection & libc::PROT_WRITE != 0;
        let mut was_opened = false;
        pages.for_each(|number, copied| {
            let address = self.start + number * PAGE;
            // A page without a copy was empty; it is emptied if it exists now.
            let wanted = match copied {
                Some(page) => page,
                None if self.is_file || !is_resident(address) => return,
                None => &EMPTY,
            };
            if sys::read_own_memory(address, &mut now).is_ok() && now == *wanted {
                return;
            }
            if !is_open && !was_opened {
                let open = libc::PROT_READ | libc::PROT_WRITE;
                was_opened = sys::protect(self.start, self.length, open).is_ok();
            }
            // SAFETY: the program's threads do not run yet, and these are their own old bytes.
            let written = unsafe { sys::write_own_memory(address, wanted) };
            failed += u32::from(written != Ok(PAGE));
        });
        if was_opened {
            failed += u32::from(sys::protect(self.start, self.length, self.protection).is_err());
        }
        // A range counts as one failure.
        u32::from(failed > 0)
    }
}

fn is_resident(address: usize) -> bool {
    let mut mark = [0];
    sys::resident_pages(address, PAGE, &mut mark).is_ok() && mark[0] & 1 != 0
}
