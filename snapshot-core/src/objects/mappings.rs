//! Shared mappings of files. A mapping keeps its file open, so the copy lets go of it too. Then a
//! lock goes free once the program closes and unmaps its file, and the program can seal a memory
//! file that nobody else maps.
//!
//! Inaccessible memory reserves the range. The copy maps the file there again before anything
//! else comes back: by the program's own descriptor, or else by a path that the copy keeps
//! (`O_PATH`). Without either the copy keeps the mapping. Private mappings (`MAP_PRIVATE`) stay:
//! only they have what the program has written to them.
//!
//! Context: AS-SAFE.
#![expect(
    unsafe_code,
    reason = "takes the program's mappings away and brings them back"
)]

use core::ffi::CStr;

use super::descriptors::{Descriptors, LINK_BYTES, open_again};
use crate::kernel::{proc_text::FileMapping, records::Records};
use crate::sys::{self, Errno};
use crate::terms::{Kind, Origin};

/// How the copy finds a mapping's file again.
#[derive(Clone, Copy)]
enum Source {
    /// Not at all: the mapping stays.
    None,
    /// By this group's descriptor.
    Group(usize),
    /// By this descriptor of its path.
    Path(i32),
}

#[derive(Clone, Copy)]
struct Mapping {
    start: usize,
    length: usize,
    protection: i32,
    offset: u64,
    inode: u64,
    device: u64,
    is_memfd: bool,
    source: Source,
}

/// The mappings that the copy lets go of.
pub(super) struct Mappings(Records<Mapping>);

impl Mappings {
    pub(super) const fn new() -> Self {
        Self(Records::growing())
    }

    /// Notes a shared mapping of a file.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn note(&mut self, mapping: &FileMapping<'_>) -> Result<(), Errno> {
        let is_memfd = match Origin::of(mapping.path) {
            Some(Origin::File) => false,
            Some(Origin::Memfd) => true,
            _ => return Ok(()),
        };
        let start = mapping.range.start;
        let length = mapping.range.end - start;
        let here = (&raw const start).addr();
        if (start..mapping.range.end).contains(&here) {
            // This is the stack that this code runs on.
            return Ok(());
        }
        let mut found = Mapping {
            start,
            length,
            protection: mapping.protection,
            offset: mapping.offset,
            inode: mapping.inode,
            device: libc::makedev(mapping.device.0, mapping.device.1),
            is_memfd,
            source: Source::None,
        };
        if let Some(path) = path_of(mapping) {
            found.source = Source::Path(path);
        }
        self.0.push(found)
    }

    /// Finds a descriptor to map each file by, once it is known which groups can be opened again.
    pub(super) fn find(&mut self, open: &Descriptors) {
        for mapping in self.0.entries_mut() {
            if let Some(number) = mapping.group_in(open) {
                if let Source::Path(path) = mapping.source {
                    sys::close(path);
                }
                mapping.source = Source::Group(number);
            }
        }
    }

    /// Replaces the mappings by reserved ranges.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn let_go(&self) -> Result<(), Errno> {
        self.0.entries().iter().try_for_each(|mapping| {
            if matches!(mapping.source, Source::None) {
                return Ok(());
            }
            // SAFETY: the copy has one thread, on another stack; the file and its record keep the
            // contents.
            unsafe { sys::reserve(mapping.start, mapping.length) }
        })
    }

    /// Maps the files again once they are open. Returns how many mappings failed.
    pub(super) fn restore(&self, open: &Descriptors) -> u32 {
        let restored = self.0.entries().iter().map(|mapping| mapping.restore(open));
        restored.map(|done| u32::from(done.is_err())).sum()
    }

    /// Gives memory files their protection back, once sealed ones have been made anew.
    pub(super) fn protect(&self) -> u32 {
        let mut failed = 0;
        for mapping in self.0.entries() {
            if mapping.is_memfd && !matches!(mapping.source, Source::None) {
                let done = sys::protect(mapping.start, mapping.length, mapping.protection);
                failed += u32::from(done.is_err());
            }
        }
        failed
    }

    pub(super) fn release(self) {
        for mapping in self.0.entries() {
            if let Source::Path(path) = mapping.source {
                sys::close(path);
            }
        }
        self.0.release();
    }
}

impl Mapping {
    /// The group to map it by.
    fn group_in(&self, open: &Descriptors) -> Option<usize> {
        let writes = self.protection & libc::PROT_WRITE != 0;
        let numbers = open.of_inode(self.device, self.inode);
        let mut best = None;
        for (number, group) in numbers.clone().zip(open.some(numbers)) {
            let is_file = matches!(group.kind, Kind::File | Kind::Memfd);
            if !is_file || !group.can_be_reopened || !group.can_read() {
                continue;
            }
            // The program may make it writable later, if the descriptor was.
            if group.can_write() {
                return Some(number);
            }
            if !writes {
                best = Some(number);
            }
        }
        best
    }

    fn restore(&self, open: &Descriptors) -> Result<(), Errno> {
        match self.source {
            Source::None => Ok(()),
            Source::Group(number) => {
                let group = open.groups().get(number).ok_or(Errno(libc::EBADF))?;
                match self.map(group.fd) {
                    Err(Errno(libc::EPERM)) if self.is_memfd => self.map_sealed(group.fd),
                    done => done,
                }
            }
            Source::Path(path) => {
                let fd = open_again(path, libc::O_RDWR)?;
                let mapped = self.map(fd);
                sys::close(fd);
                mapped
            }
        }
    }

    fn map(&self, fd: i32) -> Result<(), Errno> {
        let range = (self.start, self.length);
        // SAFETY: the range was of this file, and nobody has touched it since.
        unsafe { sys::map_over(range, self.protection, true, fd, self.offset) }
    }

    /// Maps a file that the branch has sealed against writing. `memfds` finds this mapping,
    /// replaces the file, and sets the protection afterwards.
    fn map_sealed(&self, fd: i32) -> Result<(), Errno> {
        let fd = open_again(fd, libc::O_RDONLY)?;
        let range = (self.start, self.length);
        // SAFETY: as above.
        let mapped = unsafe { sys::map_over(range, libc::PROT_READ, true, fd, self.offset) };
        sys::close(fd);
        mapped
    }
}

/// Opens the path of a writable mapping, if it can be opened again. The kernel's own link needs
/// privileges, so this opens the name and checks the inode.
fn path_of(mapping: &FileMapping<'_>) -> Option<i32> {
    if mapping.protection & libc::PROT_WRITE == 0 {
        return None;
    }
    let mut name = [0; LINK_BYTES];
    name.get_mut(..mapping.path.len())?
        .copy_from_slice(mapping.path);
    let path = CStr::from_bytes_until_nul(&name).ok()?;
    let fd = sys::open(path, libc::O_PATH).ok()?;
    let is_it = sys::fstat(fd).is_ok_and(|stat| {
        let device = libc::makedev(mapping.device.0, mapping.device.1);
        (stat.device, stat.inode) == (device, mapping.inode)
    });
    if is_it && super::paths::is_path_openable(fd) {
        return Some(fd);
    }
    sys::close(fd);
    None
}
