//! Where a function is, in words that another process of the same program understands: the two are loaded at
//! different addresses.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "asks libc for the file of a function")]

use std::ffi::c_void;

/// A function's distance from one of this library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) usize);

/// What distances are measured from.
#[inline(never)]
fn origin() {}

impl Place {
    pub(super) fn of(function: *const ()) -> Self {
        Self(function.addr().wrapping_sub((origin as *const ()).addr()))
    }

    pub(super) fn function(self) -> *const () {
        (origin as *const ()).wrapping_byte_add(self.0)
    }

    /// Whether the function is in this library's file, so that the distance is the same in each process.
    pub(super) fn is_fixed(self) -> bool {
        let own = file_of(origin as *const ());
        own.is_some() && own == file_of(self.function())
    }
}

/// The first address of the file that has this function.
pub(in crate::library) fn file_of(function: *const ()) -> Option<usize> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: fills in the structure, or returns 0.
    let found = unsafe { libc::dladdr(function.cast::<c_void>(), info.as_mut_ptr()) };
    // SAFETY: all-zero is valid, and it may have been filled in.
    (found != 0).then(|| unsafe { info.assume_init() }.dli_fbase.addr())
}
