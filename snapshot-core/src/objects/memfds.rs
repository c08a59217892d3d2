//! Memory files (`memfd`): contents, length and seals.
//!
//! The copy restores them in place, so every mapping sees it. Nobody can remove a seal: if the
//! branch has set one, the copy makes a new file with the old contents, and maps it wherever the
//! old one was mapped.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "maps a file where its double was mapped")]

use core::ffi::CStr;

use super::{
    descriptors::{Descriptors, Group, open_again, with_descriptor_path},
    recording::{Object, Recording},
};
use crate::kernel::{
    proc_text::{self, FileMapping},
    procfs,
    records::Records,
};
use crate::process::memory::{EMPTY, PAGE, Pages};
use crate::sys::{self, Errno};
use crate::terms::{Kind, Origin, comes_back::Room};

const F_ADD_SEALS: i32 = 1033;
const F_GET_SEALS: i32 = 1034;

#[derive(Clone, Copy)]
struct File {
    /// Its groups, `first..end`: all have one inode.
    first: usize,
    end: usize,
    bytes: u64,
    seals: i32,
    pages: Pages,
}

/// The program's memory files.
pub(super) struct MemoryFiles(Records<File>);

impl MemoryFiles {
    pub(super) fn is_empty(&self) -> bool {
        self.0.entries().is_empty()
    }
}

impl Object for MemoryFiles {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut files = Records::growing();
        let mut end = 0;
        let mut room = Room::of(Origin::Memfd);
        recording.for_each_group(|recording, first, group| {
            if first < end || group.kind != Kind::Memfd {
                return Ok(());
            }
            let numbers = recording.open.of_same_file(first);
            end = numbers.end;
            let bytes = sys::fstat(group.fd)?.bytes;
            if let Some(why) = room.why(recording.holders.have_any(numbers), bytes) {
                recording.name(Kind::Memfd, why, group.fd, bytes);
                return Ok(());
            }
            files.push(File {
                first,
                end,
                bytes,
                seals: sys::fcntl(group.fd, F_GET_SEALS, 0)?,
                pages: read(&group, bytes)?,
            })
        })?;
        Ok(Self(files))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let restored = self.0.entries().iter().map(|file| file.restore(open));
        restored.map(|done| u32::from(done.is_err())).sum()
    }

    fn release(self) {
        for file in self.0.entries() {
            file.pages.release();
        }
        self.0.release();
    }
}

fn read(group: &Group, bytes: u64) -> Result<Pages, Errno> {
    let fd = open_again(group.fd, libc::O_RDONLY)?;
    let pages = Pages::record(
        usize::try_from(bytes).unwrap_or(0),
        |marks| {
            mark_data(fd, marks);
            Ok(())
        },
        |number, page| {
            // Bytes past the end stay 0.
            sys::read_at(fd, page, (number * PAGE) as u64).is_ok()
        },
    );
    sys::close(fd);
    pages
}

/// Marks the pages that have ever been written.
fn mark_data(fd: i32, marks: &mut [u8]) {
    let mut at = 0;
    while let Ok(data) = sys::lseek(fd, at, libc::SEEK_DATA) {
        let hole = sys::lseek(fd, data, libc::SEEK_HOLE).unwrap_or(i64::MAX);
        let page = |offset: i64| usize::try_from(offset).unwrap_or(usize::MAX) / PAGE;
        let end = page(hole.saturating_add(PAGE as i64 - 1)).min(marks.len());
        if let Some(range) = marks.get_mut(page(data)..end) {
            range.fill(1);
        }
        if hole <= at {
            break;
        }
        at = hole;
    }
}

impl File {
    fn restore(&self, open: &Descriptors) -> Result<(), Errno> {
        let groups = open.some(self.first..self.end);
        let Some(any) = groups.first() else {
            return Ok(());
        };
        if sys::fcntl(any.fd, F_GET_SEALS, 0)? != self.seals {
            return self.make_anew(open, groups, any);
        }
        if self.seals & libc::F_SEAL_WRITE != 0 {
            // The seal has kept everybody from writing.
            return Ok(());
        }
        let fd = open_again(any.fd, libc::O_RDWR)?;
        let filled = self.fill(fd);
        sys::close(fd);
        filled
    }

    /// Gives the file `fd` the recorded length and contents.
    fn fill(&self, fd: i32) -> Result<(), Errno> {
        if sys::fstat(fd)?.bytes != self.bytes {
            sys::set_length(fd, self.bytes)?;
        }
        let mut outcome = Ok(());
        let mut now = [0; PAGE];
        self.pages.for_each(|number, page| {
            let at = number * PAGE;
            let length = usize::try_from(self.bytes).unwrap_or(at).saturating_sub(at);
            let length = length.min(PAGE);
            let wanted = page.unwrap_or(&EMPTY).get(..length).unwrap_or(&[]);
            let has = now.get_mut(..length).unwrap_or_default();
            if outcome.is_err() || (sys::read_at(fd, has, at as u64) == Ok(length) && has == wanted)
            {
                return;
            }
            outcome = sys::write_at(fd, wanted, at as u64).map(drop);
        });
        outcome
    }

    fn make_anew(&self, open: &Descriptors, groups: &[Group], any: &Group) -> Result<(), Errno> {
        let mut name = [0; 256];
        let made = sys::memfd(name_of(any.fd, &mut name))?;
        let done = self
            .fill(made)
            .and_then(|()| map_instead(any, made))
            .and_then(|()| sys::fcntl(made, F_ADD_SEALS, usize::try_from(self.seals).unwrap_or(0)))
            .and_then(|_| {
                for group in groups {
                    // `memfd_create` has made one group; the flags of the others show a later
                    // open.
                    let fd = if group.was_opened() && group.fd != any.fd {
                        let flags = group.flags & (libc::O_ACCMODE | libc::O_APPEND);
                        open_again(made, flags)?
                    } else {
                        sys::duplicate_above(made, 0)?
                    };
                    open.install(group, fd)?;
                }
                Ok(())
            });
        sys::close(made);
        done
    }
}

/// The name given to a memory file at its creation.
fn name_of(fd: i32, buffer: &mut [u8; 256]) -> &CStr {
    let mut link = [0; 300];
    let target = with_descriptor_path(fd, |path| {
        sys::read_link_at(libc::AT_FDCWD, path, &mut link).ok()
    });
    let name = target
        .and_then(|target| target.strip_prefix(b"/memfd:"))
        .and_then(|name| name.strip_suffix(b" (deleted)"))
        .unwrap_or(&[]);
    for (place, &byte) in buffer.iter_mut().take(249).zip(name) {
        *place = byte;
    }
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"")
}

/// Maps the new file wherever the old one is mapped.
fn map_instead(old: &Group, new: i32) -> Result<(), Errno> {
    let mut outcome = Ok(());
    procfs::for_each_line(c"/proc/thread-self/maps", |line| {
        if let Some(mapping) = proc_text::file_mapping(line)
            && mapping.inode == old.inode
            && mapping.path.starts_with(b"/memfd:")
            && outcome.is_ok()
        {
            outcome = map_one_instead(&mapping, new);
        }
    })?;
    outcome
}

fn map_one_instead(mapping: &FileMapping<'_>, new: i32) -> Result<(), Errno> {
    let start = mapping.range.start;
    let length = mapping.range.end - start;
    // Pages written to a private mapping are in no file.
    let own = match mapping.is_shared {
        true => None,
        false => Some(Pages::record(
            length,
            |marks| mark_own(start, marks),
            |number, page| sys::read_own_memory(start + number * PAGE, page).is_ok(),
        )?),
    };
    // SAFETY: the new file has the old one's contents, and the code below writes the private
    // pages.
    let mut outcome = unsafe {
        sys::map_over(
            (start, length),
            mapping.protection,
            mapping.is_shared,
            new,
            mapping.offset,
        )
    };
    if let Some(own) = own {
        let is_open = mapping.protection & libc::PROT_WRITE != 0;
        if outcome.is_ok() && !is_open {
            outcome = sys::protect(start, length, libc::PROT_READ | libc::PROT_WRITE);
        }
        own.for_each(|number, page| {
            if let Some(page) = page
                && outcome.is_ok()
            {
                // SAFETY: the mapping is new, and made to hold these bytes.
                outcome = unsafe { sys::write_own_memory(start + number * PAGE, page) }.map(drop);
            }
        });
        if outcome.is_ok() && !is_open {
            outcome = sys::protect(start, length, mapping.protection);
        }
        own.release();
    }
    outcome
}

/// Marks the pages of a private mapping that are no longer the file's.
fn mark_own(start: usize, marks: &mut [u8]) -> Result<(), Errno> {
    const ENTRY: usize = 8;
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const OF_A_FILE: u64 = 1 << 61;
    let fd = sys::open(c"/proc/thread-self/pagemap", libc::O_RDONLY)?;
    let mut outcome = Ok(());
    for (number, mark) in marks.iter_mut().enumerate() {
        let mut entry = [0; ENTRY];
        let at = (start / PAGE + number) * ENTRY;
        outcome = outcome.and(sys::read_at(fd, &mut entry, at as u64).map(drop));
        let entry = u64::from_ne_bytes(entry);
        *mark = u8::from(entry & SWAPPED != 0 || (entry & PRESENT != 0 && entry & OF_A_FILE == 0));
    }
    sys::close(fd);
    outcome
}
