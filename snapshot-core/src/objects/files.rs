//! Offsets of regular files and directories: live and frozen side share them, so the
//! frozen side writes them down and seeks back.
//!
//! Not those of a file that is stdout or stderr: there both branches append to one
//! output, and seeking back would let the second overwrite what the first has said.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "keeps its records in memory it maps itself")]

use core::mem::size_of;
use core::ptr::NonNull;

use crate::procfs;
use crate::sys::{self, Errno, Stat};

#[derive(Clone, Copy)]
struct Offset {
    fd: i32,
    at: i64,
}

/// The offsets of every open file, in a mapping of their own.
pub(super) struct Offsets {
    records: Option<NonNull<Offset>>,
    count: usize,
    bytes: usize,
}

const OPEN: &core::ffi::CStr = c"/proc/self/fd";

/// Whether an open descriptor is a file with an offset of its own.
fn offset_of(fd: i32, outputs: &[Option<Stat>; 2]) -> Option<i64> {
    let stat = sys::fstat(fd).ok()?;
    let kind = stat.mode & libc::S_IFMT;
    if kind != libc::S_IFREG && kind != libc::S_IFDIR {
        return None;
    }
    let is_output = outputs.iter().flatten().any(|output| {
        output.mode & libc::S_IFMT == libc::S_IFREG
            && (output.device, output.inode) == (stat.device, stat.inode)
    });
    if is_output && sys::status_flags(fd).ok()? & libc::O_ACCMODE != libc::O_RDONLY {
        return None;
    }
    sys::lseek(fd, 0, libc::SEEK_CUR).ok()
}

impl Offsets {
    /// # Errors
    /// Where `/proc` can't be read, or there is no memory.
    pub(super) fn record() -> Result<Self, Errno> {
        let outputs = [sys::fstat(1).ok(), sys::fstat(2).ok()];
        let mut count = 0;
        procfs::for_each_number(OPEN, |fd| {
            count += usize::from(offset_of(fd, &outputs).is_some());
        })?;
        if count == 0 {
            return Ok(Self {
                records: None,
                count: 0,
                bytes: 0,
            });
        }
        let bytes = count * size_of::<Offset>();
        let records: NonNull<Offset> = sys::map_memory(bytes, false)
            .ok_or(Errno(libc::ENOMEM))?
            .cast();
        let mut filled = 0;
        procfs::for_each_number(OPEN, |fd| {
            if let Some(at) = offset_of(fd, &outputs)
                && filled < count
            {
                // SAFETY: the mapping has room for `count` records, page-aligned, and
                // `filled` is less.
                unsafe { records.add(filled).write(Offset { fd, at }) };
                filled += 1;
            }
        })?;
        Ok(Self {
            records: Some(records),
            count: filled,
            bytes,
        })
    }

    fn iter(&self) -> impl Iterator<Item = Offset> + '_ {
        (0..self.count).filter_map(|index| {
            let records = self.records?;
            // SAFETY: `count` records have been written.
            Some(unsafe { records.add(index).read() })
        })
    }

    /// Seeks back; the number of files where that failed.
    pub(super) fn restore(&self) -> u32 {
        let mut failed = 0;
        for Offset { fd, at } in self.iter() {
            failed += u32::from(sys::lseek(fd, at, libc::SEEK_SET).is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        if let Some(records) = self.records {
            // SAFETY: `self` is the only user of the mapping, and ends here.
            unsafe { sys::unmap_memory(records.cast(), self.bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn an_offset_comes_back() {
        let mut file = std::fs::File::open("/proc/self/exe").expect("the test itself");
        let mut bytes = [0; 10];
        file.read_exact(&mut bytes).expect("it is long enough");
        let offsets = Offsets::record().expect("/proc is mounted");
        file.read_exact(&mut bytes).expect("it is long enough");
        assert_eq!(offsets.restore(), 0);
        assert_eq!(file.stream_position().expect("a file"), 10);
        offsets.release();
    }
}
