//! Copies of one moment of the program: inputs that are each tried in a fresh one, and AFL++'s fork
//! server.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::ffi::{CStr, c_char, c_int, c_void};

use crate::border::guarded;
use crate::error::Failure;
use crate::report::{numbers_of, snapshot_end};

/// Whether this is SNAPSHOT_AFL_MARK. The whole text must not be in the library: with the static one it
/// would be in programs that call nothing here, and `afl-fuzz` would take them for fork servers.
fn is_mark(text: &CStr) -> bool {
    text.to_bytes().strip_prefix(b"##SIG_AFL_") == Some(b"DEFER_FORKSRV##")
}

/// Calls `f(i, data)` for each `i` below `count`, each time in a fresh copy of the program, with all its
/// threads and with its kernel objects as they are now. Fills `ends[i]` with how each copy has ended,
/// and returns how many were tried, or an error.
///
/// A copy ends with status 0 when `f` returns. A crash, an exit, a kill: all end the copy alone.
/// Processes that it has started end with it. What it writes to files stays, and so does what it writes
/// to memory that another process has as well.
///
/// The program stands still meanwhile. SIGINT, SIGTERM, SIGHUP and SIGQUIT end the series, unless the
/// program ignores them: then fewer are tried, and the program gets the signal.
///
/// # Safety
/// `f` is called with `data` in copies of this thread. `ends` must have room for `count` structures; it
/// may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_try_each(
    f: Option<unsafe extern "C-unwind" fn(i: usize, data: *mut c_void)>,
    data: *mut c_void,
    count: usize,
    ends: *mut snapshot_end,
) -> c_int {
    guarded(|| {
        let f = f.ok_or_else(|| Failure::argument("the function is null"))?;
        if c_int::try_from(count).is_err() {
            return Err(Failure::argument("`count` is more than an int holds"));
        }
        let numbers: Vec<usize> = (0..count).collect();
        // SAFETY: whoever has given the function has said that it may be called with this data.
        let tried = snapshot_core::try_each(&numbers, |&i| unsafe { f(i, data) })?;
        if !ends.is_null() {
            for (i, &ended) in tried.iter().enumerate() {
                let (ended, number) = numbers_of(ended);
                // SAFETY: there are at most `count` ends, and there is room for so many.
                let place = unsafe { ends.add(i) };
                // SAFETY: as above.
                unsafe { place.write(snapshot_end { ended, number }) };
            }
        }
        Ok(c_int::try_from(tried.len()).unwrap_or(c_int::MAX))
    })
}

/// What `snapshot_persistent` calls. `mark` is SNAPSHOT_AFL_MARK, which has to be in the program's own
/// file; the macro puts it there.
///
/// # Safety
/// `f` is called with `data` in copies of this thread. `mark` must be NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_persistent_marked(
    f: Option<unsafe extern "C-unwind" fn(input: *const u8, bytes: usize, data: *mut c_void)>,
    data: *mut c_void,
    mark: *const c_char,
) -> c_int {
    guarded(|| {
        let f = f.ok_or_else(|| Failure::argument("the function is null"))?;
        // SAFETY: by this function's own condition.
        if mark.is_null() || !is_mark(unsafe { CStr::from_ptr(mark) }) {
            return Err(Failure::argument("`mark` is not SNAPSHOT_AFL_MARK"));
        }
        snapshot_core::persistent_unmarked(|input| {
            // SAFETY: as above; the input lives as long as the call.
            unsafe { f(input.as_ptr(), input.len(), data) };
        })?;
        Ok(0)
    })
}
