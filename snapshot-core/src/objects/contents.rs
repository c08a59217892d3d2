//! A copy of unread bytes, in the parts in which a reader gets them.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "keeps bytes in memory that it maps")]

use core::mem::size_of;
use core::ptr::NonNull;

use crate::sys::{self, Errno};

/// Parts of bytes, each behind its length. No `Drop`: after a split two processes have it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contents {
    memory: Option<NonNull<u8>>,
    room: usize,
    used: usize,
    /// Without the parts' lengths.
    length: usize,
}

const HEADER: usize = size_of::<u32>();

impl Contents {
    /// Makes room for `bytes`, in parts of one byte or more.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn with_room(bytes: usize) -> Result<Self, Errno> {
        // The kernel gives memory only to pages that are written.
        let room = bytes * (HEADER + 1) + HEADER;
        Ok(Self {
            memory: Some(sys::map_memory(room, false).ok_or(Errno(libc::ENOMEM))?),
            room,
            used: 0,
            length: 0,
        })
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self.memory {
            // SAFETY: a mapping of this length, which nobody else uses while `self` is
            // borrowed; the kernel has zeroed it.
            Some(memory) => unsafe { NonNull::slice_from_raw_parts(memory, self.room).as_mut() },
            None => &mut [],
        }
    }

    /// Adds a part: `read` writes it into a buffer and returns its length.
    ///
    /// # Errors
    /// What `read` gives; ENOSPC where there is no room.
    pub(super) fn add(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let used = self.used;
        let (header, room) = self
            .bytes()
            .get_mut(used..)
            .and_then(|rest| rest.split_at_mut_checked(HEADER))
            .ok_or(Errno(libc::ENOSPC))?;
        let length = read(room)?;
        let stored = u32::try_from(length).map_err(|_| Errno(libc::EOVERFLOW))?;
        header.copy_from_slice(&stored.to_ne_bytes());
        self.used += HEADER + length;
        self.length += length;
        Ok(length)
    }

    /// Calls `visit` with every part.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&[u8])) {
        let Some(memory) = self.memory else {
            return;
        };
        // SAFETY: as above; only read.
        let all = unsafe { NonNull::slice_from_raw_parts(memory, self.used).as_ref() };
        let mut rest = all;
        while let Some((header, bytes)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_ne_bytes(*header) as usize;
            let Some((part, after)) = bytes.split_at_checked(length) else {
                return;
            };
            visit(part);
            rest = after;
        }
    }

    /// Gives the memory back.
    pub(super) fn release(self) {
        if let Some(memory) = self.memory {
            // SAFETY: `self` is the only user of the mapping, and ends here.
            unsafe { sys::unmap_memory(memory, self.room) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_in_order() {
        let mut contents = Contents::with_room(10).expect("memory");
        for part in [&b"abc"[..], b"", b"defghij"] {
            let added = contents.add(|room| {
                room[..part.len()].copy_from_slice(part);
                Ok(part.len())
            });
            assert_eq!(added, Ok(part.len()));
        }
        assert_eq!(contents.length(), 10);
        let mut parts = Vec::new();
        contents.for_each(|part| parts.push(part.to_vec()));
        assert_eq!(parts, [b"abc".to_vec(), Vec::new(), b"defghij".to_vec()]);
        contents.release();
    }
}
