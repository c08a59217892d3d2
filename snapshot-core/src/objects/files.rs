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
    records: NonNull<[Offset]>,
    /// Length of the mapping; 0 where there is none.
    bytes: usize,
}

const OPEN: &core::ffi::CStr = c"/proc/thread-self/fd";

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
        let bytes = count * size_of::<Offset>();
        let start = if bytes == 0 {
            NonNull::dangling()
        } else {
            sys::map_memory(bytes, false)
                .ok_or(Errno(libc::ENOMEM))?
                .cast()
        };
        let mut offsets = Self {
            records: NonNull::slice_from_raw_parts(start, count),
            bytes,
        };
        // A descriptor can't come or go in between: everything is parked. Should one all
        // the same, the record that is left over names no descriptor.
        let mut slots = offsets.slots().iter_mut();
        procfs::for_each_number(OPEN, |fd| {
            if let Some(at) = offset_of(fd, &outputs)
                && let Some(slot) = slots.next()
            {
                *slot = Offset { fd, at };
            }
        })?;
        for slot in slots {
            slot.fd = -1;
        }
        Ok(offsets)
    }

    fn slots(&mut self) -> &mut [Offset] {
        // SAFETY: an empty slice, or a mapping of this length that is all our own; the
        // kernel has zeroed it, and zeros are a valid record.
        unsafe { self.records.as_mut() }
    }

    /// Seeks back; the number of files where that failed.
    pub(super) fn restore(&mut self) -> u32 {
        let mut failed = 0;
        for &mut Offset { fd, at } in self.slots() {
            failed += u32::from(fd >= 0 && sys::lseek(fd, at, libc::SEEK_SET).is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        if self.bytes != 0 {
            // SAFETY: `self` is the only user of the mapping, and ends here.
            unsafe { sys::unmap_memory(self.records.cast(), self.bytes) };
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
        let mut offsets = Offsets::record().expect("/proc is mounted");
        file.read_exact(&mut bytes).expect("it is long enough");
        assert_eq!(offsets.restore(), 0);
        assert_eq!(file.stream_position().expect("a file"), 10);
        offsets.release();
    }
}
