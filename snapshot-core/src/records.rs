//! A list in memory of its own, mapped when it gets its first entry: for records that are
//! made where nothing may be allocated.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "keeps entries in memory that it maps")]

use core::ptr::NonNull;

use crate::sys::{self, Errno};

/// Entries of plain data, up to a number that is fixed at the beginning.
///
/// Memory is touched only as far as it is used, and is not given back on drop: after a
/// split there are two of it. [`Records::release`] does.
pub(crate) struct Records<T: Copy> {
    entries: Option<NonNull<T>>,
    length: usize,
    most: usize,
}

impl<T: Copy> Records<T> {
    /// An empty list with room for `most`.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            entries: None,
            length: 0,
            most,
        }
    }

    fn bytes(&self) -> usize {
        self.most * size_of::<T>()
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// ENOMEM, and ENOSPC where there is no room for more.
    pub(crate) fn push(&mut self, entry: T) -> Result<(), Errno> {
        if self.length == self.most {
            return Err(Errno(libc::ENOSPC));
        }
        let entries = match self.entries {
            Some(entries) => entries,
            None => {
                let memory = sys::map_memory(self.bytes(), false).ok_or(Errno(libc::ENOMEM))?;
                *self.entries.insert(memory.cast())
            }
        };
        // SAFETY: within the mapping, since `length` is below `most`.
        let place = unsafe { entries.add(self.length) };
        // SAFETY: as above; pages are aligned for any plain type.
        unsafe { place.write(entry) };
        self.length += 1;
        Ok(())
    }

    /// The entries, in the order in which they were added.
    pub(crate) fn entries(&self) -> &[T] {
        match self.entries {
            // SAFETY: so many have been written, and the mapping is all our own.
            Some(entries) => unsafe {
                NonNull::slice_from_raw_parts(entries, self.length).as_ref()
            },
            None => &[],
        }
    }

    /// Gives the whole room, to be written by somebody else.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn fill(&mut self) -> Result<&mut [u8], Errno> {
        let memory = sys::map_memory(self.bytes(), false).ok_or(Errno(libc::ENOMEM))?;
        self.entries = Some(memory.cast());
        // SAFETY: all of the new mapping, zeroed by the kernel, which is valid for bytes.
        Ok(unsafe { NonNull::slice_from_raw_parts(memory, self.bytes()).as_mut() })
    }

    /// Gives the memory back.
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
        records.release();
    }
}
