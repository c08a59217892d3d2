//! A list in its own mapping, made with the first entry: for records that are made where
//! nothing may be allocated.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "keeps entries in memory that it maps")]

use core::ptr::NonNull;

use crate::sys::{self, Errno};

/// Entries of plain data, up to a number that is fixed at the start.
///
/// The memory grows with the entries. Drop doesn't free it, since after a split there are two
/// of it; [`Records::release`] does.
pub(crate) struct Records<T: Copy> {
    entries: Option<NonNull<T>>,
    length: usize,
    /// How many entries fit now.
    room: usize,
    most: usize,
}

impl<T: Copy> Records<T> {
    /// An empty list that is limited by memory alone.
    pub(crate) const fn growing() -> Self {
        Self::new(isize::MAX as usize / (2 * size_of::<T>()))
    }

    /// An empty list of at most `most` entries.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            entries: None,
            length: 0,
            room: 0,
            most,
        }
    }

    fn bytes(&self) -> usize {
        self.room * size_of::<T>()
    }

    /// Doubles the room.
    fn grow(&mut self) -> Result<NonNull<T>, Errno> {
        const FIRST_BYTES: usize = 4096;
        let first = FIRST_BYTES.div_ceil(size_of::<T>());
        let room = (self.room * 2).max(first).min(self.most);
        let bytes = room * size_of::<T>();
        let memory = match self.entries {
            None => sys::map_memory(bytes, false).ok_or(Errno(libc::ENOMEM))?,
            // SAFETY: the old place is not used any more once there is a new one.
            Some(entries) => unsafe { sys::resize_memory(entries.cast(), self.bytes(), bytes) }?,
        };
        self.room = room;
        Ok(*self.entries.insert(memory.cast()))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// ENOMEM; ENOSPC if the list is full.
    pub(crate) fn push(&mut self, entry: T) -> Result<(), Errno> {
        if self.length == self.most {
            return Err(Errno(libc::ENOSPC));
        }
        let entries = match self.entries {
            Some(entries) if self.length < self.room => entries,
            _ => self.grow()?,
        };
        // SAFETY: within the mapping, since `length` is below `room`.
        let place = unsafe { entries.add(self.length) };
        // SAFETY: as above; pages are aligned for any plain type.
        unsafe { place.write(entry) };
        self.length += 1;
        Ok(())
    }

    /// The entries, in the order in which they were added.
    pub(crate) fn entries(&self) -> &[T] {
        match self.entries {
            // SAFETY: this many have been written, and the mapping is all our own.
            Some(entries) => unsafe {
                NonNull::slice_from_raw_parts(entries, self.length).as_ref()
            },
            None => &[],
        }
    }

    /// The same, mutable.
    pub(crate) fn entries_mut(&mut self) -> &mut [T] {
        match self.entries {
            // SAFETY: as above, and nobody else has it while `self` is borrowed.
            Some(entries) => unsafe {
                NonNull::slice_from_raw_parts(entries, self.length).as_mut()
            },
            None => &mut [],
        }
    }

    /// Removes the entries from `first` on that are not wanted; keeps the order.
    pub(crate) fn retain_from(&mut self, first: usize, wanted: impl Fn(&T) -> bool) {
        let entries = self.entries_mut();
        let mut kept = first.min(entries.len());
        for index in first..entries.len() {
            let Some(&entry) = entries.get(index) else {
                break;
            };
            if wanted(&entry)
                && let Some(place) = entries.get_mut(kept)
            {
                *place = entry;
                kept += 1;
            }
        }
        self.length = self.length.min(kept);
    }

    /// The whole room, for the caller to write.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn fill(&mut self) -> Result<&mut [u8], Errno> {
        self.room = self.most;
        let memory = sys::map_memory(self.bytes(), false).ok_or(Errno(libc::ENOMEM))?;
        self.entries = Some(memory.cast());
        // SAFETY: all of the new mapping, zeroed by the kernel, which is valid for bytes.
        Ok(unsafe { NonNull::slice_from_raw_parts(memory, self.bytes()).as_mut() })
    }

    /// Frees the memory.
    pub(crate) fn release(self) {
        if let Some(entries) = self.entries {
            // SAFETY: `self` is the only user of the mapping, and ends here.
            unsafe { sys::unmap_memory(entries.cast(), self.bytes()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_refuses_the_rest() {
        let mut records = Records::new(1000);
        assert!(records.entries().is_empty());
        for number in 0..1000_u64 {
            records.push(number).expect("it fits");
        }
        assert_eq!(records.push(1000), Err(Errno(libc::ENOSPC)));
        assert!(records.entries().iter().copied().eq(0..1000));
        records.retain_from(10, |number| number % 10 == 0);
        let left = (0..10).chain((10..1000).step_by(10));
        assert!(records.entries().iter().copied().eq(left));
        records.release();
    }
}
