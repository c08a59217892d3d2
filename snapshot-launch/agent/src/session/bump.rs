//! A bump allocator for an exec: writes strings and pointers one after the other into a
//! mapping of its own.
//!
//! Exec may be called where `malloc` may not, and the mapping ends with the old program.
//!
//! Context: AS-SAFE.

use core::ffi::{c_char, c_void};
use core::mem::size_of;
use core::ptr;

/// Room for an environment.
const BYTES: usize = 1 << 20;

/// The mapping. Not unmapped on drop, since a successful exec never returns: see
/// [`Bump::free`].
pub(crate) struct Bump {
    start: *mut u8,
    used: usize,
}

impl Bump {
    /// `None` if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: a new anonymous mapping touches no memory in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(Self {
            start: start.cast(),
            used: 0,
        })
    }

    /// Writes bytes. `None` if there is no room left.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Option<()> {
        if self.used + bytes.len() > BYTES {
            return None;
        }
        // SAFETY: `used` is within the mapping.
        let to = unsafe { self.start.add(self.used) };
        // SAFETY: there is room for all of it, and it is no part of the mapping.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.used += bytes.len();
        Some(())
    }

    /// Writes a number in this base.
    pub(crate) fn number(&mut self, mut number: u64, base: u32) -> Option<()> {
        let mut digits = [0_u8; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            let [digit, ..] = (number % u64::from(base)).to_le_bytes();
            digits[first] = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
            number /= u64::from(base);
            if number == 0 {
                break;
            }
        }
        self.put(&digits[first..])
    }

    /// Writes a pointer. Align first.
    pub(crate) fn pointer(&mut self, pointer: *const c_char) -> Option<()> {
        self.put(&pointer.expose_provenance().to_ne_bytes())
    }

    /// Aligns for a pointer.
    pub(crate) fn align(&mut self) {
        self.used = self.used.next_multiple_of(size_of::<usize>());
    }

    /// Where the next `put` will write.
    pub(crate) fn next(&self) -> *mut u8 {
        // SAFETY: `used` is at most the mapping's length.
        unsafe { self.start.add(self.used) }
    }

    /// Unmaps it: the exec has failed.
    pub(crate) fn free(self) {
        // SAFETY: nothing uses the mapping any more when its owner is given up.
        unsafe { libc::munmap(self.start.cast::<c_void>(), BYTES) };
    }
}
