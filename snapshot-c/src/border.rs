//! What crosses between C and Rust: results, texts, functions with their data, and structures that
//! can grow.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "follows the caller's pointers")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Failure;

/// Runs the body of an exported function: a failure becomes its number, and a panic too.
pub(crate) fn guarded(body: impl FnOnce() -> Result<c_int, Failure>) -> c_int {
    // Nothing of the caller's is seen after a panic but the number.
    let done = catch_unwind(AssertUnwindSafe(body));
    let failure = match done {
        Ok(Ok(number)) => return number,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::defect(),
    };
    failure.report()
}

/// A text of the caller's; "" for null.
///
/// # Safety
/// `text` must be null, or NUL-terminated, and live as long as the result.
pub(crate) unsafe fn text_at<'a>(text: *const c_char) -> std::borrow::Cow<'a, str> {
    if text.is_null() {
        return "".into();
    }
    // SAFETY: by this function's own condition.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// Puts a text into a field of a structure that is all 0, cut at a character, with a NUL behind it.
pub(crate) fn fill_text(field: &mut [c_char], text: &str) {
    let mut end = text.len().min(field.len().saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (place, byte) in field.iter_mut().zip(text.bytes().take(end)) {
        *place = c_char::from_ne_bytes([byte]);
    }
}

/// A function of the caller's with its data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callback<R> {
    function: unsafe extern "C-unwind" fn(*mut c_void) -> R,
    data: *mut c_void,
}

// SAFETY: whoever registers a function that another thread may call vouches for it; the header says
// which these are.
unsafe impl<R> Send for Callback<R> {}

impl<R> Callback<R> {
    /// # Errors
    /// If `function` is null.
    pub(crate) fn new(
        function: Option<unsafe extern "C-unwind" fn(*mut c_void) -> R>,
        data: *mut c_void,
    ) -> Result<Self, Failure> {
        let function = function.ok_or_else(|| Failure::argument("the function is null"))?;
        Ok(Self { function, data })
    }

    pub(crate) fn call(self) -> R {
        // SAFETY: whoever has given the function has said that it may be called with this data.
        unsafe { (self.function)(self.data) }
    }
}

/// A structure that the library fills. Its first field is its size, which the caller sets, so a
/// program and a library of different versions agree on what there is.
///
/// # Safety
/// It is `repr(C)`, without padding, and its first field is a `u32`.
pub(crate) unsafe trait Growing: Copy {
    /// Its size in the first version.
    const FIRST_BYTES: u32;

    /// Sets its first field.
    fn set_size(&mut self, bytes: u32);
}

/// No version is larger. The size in a structure that nobody has initialised most likely is.
const LARGEST_BYTES: u32 = 4096;

/// Where the caller wants a structure.
#[derive(Debug)]
pub(crate) struct Out<T> {
    place: *mut T,
    /// The size that the caller knows.
    bytes: u32,
}

impl<T: Growing> Out<T> {
    /// # Errors
    /// If its size can't be right.
    ///
    /// # Safety
    /// `place` must be null, or be the caller's structure and stay so while this lives.
    pub(crate) unsafe fn at(place: *mut T) -> Result<Self, Failure> {
        const { assert!(size_of::<T>() >= T::FIRST_BYTES as usize) };
        if place.is_null() {
            return Ok(Self { place, bytes: 0 });
        }
        // SAFETY: it begins with its size, as every version of it does.
        let bytes = unsafe { place.cast::<u32>().read() };
        if (T::FIRST_BYTES..=LARGEST_BYTES).contains(&bytes) {
            Ok(Self { place, bytes })
        } else {
            let why = format!("the structure's `size` is {bytes}, not its sizeof");
            Err(Failure::argument(&why))
        }
    }

    /// Fills what the caller knows of it. What only the caller knows is set to 0.
    pub(crate) fn fill(self, mut value: T) {
        if self.place.is_null() {
            return;
        }
        value.set_size(self.bytes);
        let bytes = self.bytes as usize;
        let known = bytes.min(size_of::<T>());
        let place = self.place.cast::<u8>();
        // SAFETY: `known` bytes are in both; the value is a local, so they don't overlap.
        unsafe { place.copy_from_nonoverlapping((&raw const value).cast(), known) };
        // SAFETY: `known` is at most the caller's size.
        let rest = unsafe { place.add(known) };
        // SAFETY: the rest is the caller's, too.
        unsafe { rest.write_bytes(0, bytes - known) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{SNAPSHOT_ERROR_ARGUMENT, SNAPSHOT_ERROR_DEFECT};

    #[repr(C)]
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Now {
        size: u32,
        first: u32,
        second: u32,
    }

    // SAFETY: it is three `u32`, the size first.
    unsafe impl Growing for Now {
        const FIRST_BYTES: u32 = 8;

        fn set_size(&mut self, bytes: u32) {
            self.size = bytes;
        }
    }

    /// The caller's memory of four numbers, filled with 9, after a structure of this size in it was
    /// filled.
    fn filled(size: u32) -> Result<[u32; 4], Failure> {
        let mut memory = [size, 9, 9, 9];
        // SAFETY: the memory is longer than any size that is tried, and aligned for it.
        let out = unsafe { Out::at((&raw mut memory).cast::<Now>()) };
        out?.fill(Now {
            size: 0,
            first: 1,
            second: 2,
        });
        Ok(memory)
    }

    #[test]
    fn an_older_program_gets_what_it_knows() {
        assert_eq!(filled(8), Ok([8, 1, 9, 9]));
    }

    #[test]
    fn a_program_of_the_same_version_gets_all() {
        assert_eq!(filled(12), Ok([12, 1, 2, 9]));
    }

    #[test]
    fn a_newer_program_gets_0_for_the_rest() {
        assert_eq!(filled(16), Ok([16, 1, 2, 0]));
    }

    #[test]
    fn a_size_that_nobody_has_set_is_an_error() {
        for size in [0, 7, 0xdead_beef] {
            let failure = filled(size).expect_err("it is no size");
            assert_eq!(failure.report(), SNAPSHOT_ERROR_ARGUMENT);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let mut field = [0; 6];
        fill_text(&mut field, "aüüü");
        let bytes = field.map(|byte| byte.to_ne_bytes()[0]);
        assert_eq!(bytes, *b"a\xc3\xbc\xc3\xbc\0");
        let mut none = [];
        fill_text(&mut none, "text");
    }

    #[test]
    fn a_panic_becomes_a_number() {
        assert_eq!(guarded(|| panic!("a test")), SNAPSHOT_ERROR_DEFECT);
        assert_eq!(guarded(|| Ok(7)), 7);
    }
}
