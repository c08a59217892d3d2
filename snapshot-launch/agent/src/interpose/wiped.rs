//! The functions by which a program asks for memory that is wiped in copies. The engine must
//! know that memory, and to ask the kernel for it later is slow. So it is recorded here.
//!
//! Context: AS-SAFE, as libc's own are.

use core::ffi::{c_int, c_void};

use snapshot_core::process::wiped_memory;
use snapshot_core::sys;

use super::writes;
use crate::errno;

/// From the kernel's headers: the kernel may drop such a page at any time.
const MAP_DROPPABLE: c_int = 0x08;
const MAP_TYPE: c_int = 0x0f;

/// madvise(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(start: *mut c_void, length: usize, advice: c_int) -> c_int {
    // Before the call: a snapshot may be taken right after it.
    if advice == libc::MADV_WIPEONFORK {
        wiped_memory::note_wiped(start.addr(), length);
    }
    // SAFETY: the caller's promise.
    match unsafe { sys::advise_of_program(start, length, advice) } {
        Ok(()) => 0,
        Err(failed) => {
            errno::set(failed.0);
            -1
        }
    }
}

/// mmap(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    start: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    if let Err(failed) = writes::before_map(protection, flags, fd) {
        errno::set(failed.0);
        return libc::MAP_FAILED;
    }
    // SAFETY: the caller's promise.
    let mapped = unsafe { sys::map_for_program(start, length, protection, flags, fd, offset) };
    match mapped {
        Ok(mapped) => {
            // A snapshot before this has the memory empty, as it should be.
            if flags & MAP_TYPE == MAP_DROPPABLE {
                wiped_memory::note_wiped(mapped.addr(), length);
            }
            mapped
        }
        Err(failed) => {
            errno::set(failed.0);
            libc::MAP_FAILED
        }
    }
}

/// mmap64(2), the same on this machine.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    start: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { mmap(start, length, protection, flags, fd, offset) }
}
