//! `inotify_add_watch`: a revived copy must watch the same paths again, and the kernel gives no
//! access to them later. So they are recorded here.
//!
//! Context: IN-PROCESS.

use core::ffi::{c_char, c_int};

use snapshot_core::objects;

use crate::errno;

/// inotify_add_watch(2)
///
/// # Safety
/// None: the kernel checks the arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inotify_add_watch(fd: c_int, path: *const c_char, mask: u32) -> c_int {
    match objects::add_watch(fd, path, mask) {
        Ok(watch) => watch,
        Err(failed) => {
            errno::set(failed.0);
            -1
        }
    }
}
