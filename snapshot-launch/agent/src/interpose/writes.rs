//! The functions of libc that write to files, or close and duplicate them: where they are, for the
//! jumps that the engine gives them ([`snapshot_core::process::write_guard`]). `pwritev2` begins in
//! a way that leaves no room for a jump, so there is a function before it here; libc never calls it
//! itself. Nor does it map a file to write to it, so the agent's `mmap` is enough.
//!
//! Context: [`begin`] is IN-PROCESS; the rest is AS-SAFE.

use core::ffi::{c_int, c_void};
use core::mem::transmute;

use snapshot_core::process::write_guard::{self, Call};
use snapshot_core::sys::{self, Errno};

use crate::{errno, real::Real};

static PWRITEV2: Real = Real::new(c"pwritev64v2");

/// Finds them.
pub(crate) fn begin() {
    PWRITEV2.address();
    let find = |name| Real::new(name).address().addr();
    // Standard I/O closes by this. Without it nothing is guarded.
    let own_close = find(c"__close_nocancel");
    if own_close == 0 {
        return;
    }
    write_guard::reserve(&[
        (Call::Write, find(c"write")),
        (Call::WriteAt, find(c"pwrite64")),
        (Call::WriteParts, find(c"writev")),
        (Call::WritePartsAt, find(c"pwritev64")),
        (Call::SendFile, find(c"sendfile64")),
        (Call::CopyRange, find(c"splice")),
        (Call::CopyRange, find(c"copy_file_range")),
        (Call::Close, find(c"close")),
        (Call::Close, own_close),
        (Call::CloseRange, find(c"close_range")),
        (Call::Duplicate, find(c"dup")),
        (Call::Replace, find(c"dup2")),
        (Call::ReplaceWith, find(c"dup3")),
    ]);
}

/// A mapping is about to be made. Writes to it ask nobody.
///
/// # Errors
/// What the call should fail with: the journal has no room to keep the file.
pub(super) fn before_map(protection: c_int, flags: c_int, fd: c_int) -> sys::Result<()> {
    let word = |number: c_int| number as isize as usize;
    let arguments = [0, 0, word(protection), word(flags), word(fd), 0];
    write_guard::before(Call::Map, &arguments)
}

type Pwritev2 = unsafe extern "C" fn(c_int, *const c_void, c_int, i64, c_int) -> isize;

/// pwritev2(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev2(
    fd: c_int,
    parts: *const c_void,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> isize {
    let word = |number: i64| usize::from_ne_bytes(number.to_ne_bytes());
    let arguments = [
        word(fd.into()),
        parts.expose_provenance(),
        word(count.into()),
        word(offset),
        0,
        0,
    ];
    if let Err(Errno(number)) = write_guard::before(Call::WritePartsAt, &arguments) {
        errno::set(number);
        return -1;
    }
    // SAFETY: a null address is `None`; any other is libc's function of this type.
    match unsafe { transmute::<*mut c_void, Option<Pwritev2>>(PWRITEV2.address()) } {
        // SAFETY: the arguments are the program's own.
        Some(real) => unsafe { real(fd, parts, count, offset, flags) },
        None => {
            errno::set(libc::ENOSYS);
            -1
        }
    }
}

/// The same by its other name.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwritev64v2(
    fd: c_int,
    parts: *const c_void,
    count: c_int,
    offset: i64,
    flags: c_int,
) -> isize {
    // SAFETY: the caller's promise.
    unsafe { pwritev2(fd, parts, count, offset, flags) }
}
