//! The names of this process's other threads.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::procfs;
use crate::sys::{self, ThreadName};

/// Opens the file of a thread's name.
fn open_name(tid: i32, flags: i32) -> sys::Result<i32> {
    const TASKS: &[u8] = b"/proc/self/task/";
    let mut path = [0; 64];
    path[..TASKS.len()].copy_from_slice(TASKS);
    path[TASKS.len()..TASKS.len() + 32].copy_from_slice(&procfs::numbered(tid, b"/comm"));
    sys::open(CStr::from_bytes_until_nul(&path).unwrap_or(c""), flags)
}

/// Names another thread of this process.
///
/// # Errors
/// ENOENT if it has ended.
pub fn set_name_of(tid: i32, name: &[u8]) -> sys::Result<()> {
    let fd = open_name(tid, libc::O_WRONLY)?;
    let written = sys::write_once(fd, name);
    sys::close(fd);
    written.map(drop)
}

/// Another thread's name, with a NUL.
///
/// # Errors
/// ENOENT if it has ended.
pub fn name_of(tid: i32, name: &mut ThreadName) -> sys::Result<()> {
    let fd = open_name(tid, libc::O_RDONLY)?;
    let read = sys::read(fd, name);
    sys::close(fd);
    // The kernel ends it with a line feed.
    if let Some(end) = name.get_mut(read?.saturating_sub(1)) {
        *end = 0;
    }
    Ok(())
}
