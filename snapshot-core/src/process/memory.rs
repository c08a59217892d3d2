//! Memory's contents, copied page by page, without pages that have never been written.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "copies memory")]

use core::ptr::NonNull;

use crate::sys::{self, Errno};

pub(crate) const PAGE: usize = 4096;

/// The content of a page that has never been written.
pub(crate) static EMPTY: [u8; PAGE] = [0; PAGE];

/// Copied pages, and their numbers. Drop doesn't free them: after a split there are two of it.
#[derive(Clone, Copy)]
pub(crate) struct Pages {
    /// A byte a page: whether it was copied.
    copied: NonNull<u8>,
    pages: usize,
    /// The copied pages, one after the other.
    contents: Option<NonNull<u8>>,
    count: usize,
}

fn map(bytes: usize) -> Result<NonNull<u8>, Errno> {
    sys::map_memory(bytes.max(1), false).ok_or(Errno(libc::ENOMEM))
}

impl Pages {
    /// Copies pages of a range of this many bytes. `mark` marks the pages to copy, a byte each;
    /// `read` reads a page by its number, or says that there is none.
    ///
    /// # Errors
    /// ENOMEM, and any error of `mark`.
    pub(crate) fn record(
        bytes: usize,
        mark: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
        mut read: impl FnMut(usize, &mut [u8]) -> bool,
    ) -> Result<Self, Errno> {
        let pages = bytes.div_ceil(PAGE);
        let mut recorded = Self {
            copied: map(pages)?,
            pages,
            contents: None,
            count: 0,
        };
        if let Err(errno) = mark(recorded.marks()) {
            recorded.release();
            return Err(errno);
        }
        let count = recorded
            .marks()
            .iter()
            .filter(|mark| **mark & 1 != 0)
            .count();
        match map(count * PAGE) {
            Ok(memory) => recorded.contents = Some(memory),
            Err(errno) => {
                recorded.release();
                return Err(errno);
            }
        }
        recorded.count = count;
        // SAFETY: a mapping of this length, which is nobody else's.
        let contents = unsafe {
            NonNull::slice_from_raw_parts(
                recorded.contents.unwrap_or(recorded.copied),
                count * PAGE,
            )
            .as_mut()
        };
        let mut used = 0;
        for (number, mark) in recorded.marks().iter_mut().enumerate() {
            *mark &= 1;
            if *mark == 0 {
                continue;
            }
            let page = contents.get_mut(used..used + PAGE);
            if page.is_some_and(|page| read(number, page)) {
                used += PAGE;
            } else {
                *mark = 0;
            }
        }
        Ok(recorded)
    }

    fn marks(&mut self) -> &mut [u8] {
        // SAFETY: a mapping with a byte a page, with no other user while `self` is borrowed.
        unsafe { NonNull::slice_from_raw_parts(self.copied, self.pages).as_mut() }
    }

    /// Calls `visit` with every page's number, and with its contents if it was copied.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(usize, Option<&[u8]>)) {
        let Some(contents) = self.contents else {
            return;
        };
        // SAFETY: as above; only read.
        let marks = unsafe { NonNull::slice_from_raw_parts(self.copied, self.pages).as_ref() };
        // SAFETY: as above.
        let contents =
            unsafe { NonNull::slice_from_raw_parts(contents, self.count * PAGE).as_ref() };
        let mut copied = contents.chunks_exact(PAGE);
        for (number, mark) in marks.iter().enumerate() {
            let page = if *mark == 0 { None } else { copied.next() };
            visit(number, page);
        }
    }

    pub(crate) fn release(self) {
        // SAFETY: `self` is the only user of the mapping, and ends here.
        unsafe { sys::unmap_memory(self.copied, self.pages.max(1)) };
        if let Some(contents) = self.contents {
            // SAFETY: as above.
            unsafe { sys::unmap_memory(contents, (self.count * PAGE).max(1)) };
        }
    }
}
