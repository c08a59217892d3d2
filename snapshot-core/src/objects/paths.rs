//! The paths by which a program has named what it watches.
//!
//! They are noted in ordinary context, by several threads maybe, and read in a copy in which
//! none of them is in the middle of it: who is would have been parked there, and then
//! nothing is known.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "a list behind a lock of its own")]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::descriptors::with_descriptor_path;
use crate::records::Records;
use crate::sys;

/// A noted path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    inode: u64,
    at: usize,
}

struct Notes {
    noted: Records<Noted>,
    /// The paths, each with a NUL behind it.
    text: Records<u8>,
}

struct Locked {
    is_taken: AtomicBool,
    notes: UnsafeCell<Notes>,
}

// SAFETY: whoever has set `is_taken` is alone with the notes.
unsafe impl Sync for Locked {}

/// A program that watches a million files has a hundred bytes of path for each.
const MOST: usize = 1 << 20;

static NOTES: Locked = Locked {
    is_taken: AtomicBool::new(false),
    notes: UnsafeCell::new(Notes {
        noted: Records::new(MOST),
        text: Records::new(MOST * 100),
    }),
};

/// Does something with the notes, or nothing where another thread is at it and stays.
fn locked<T>(patient: bool, act: impl FnOnce(&mut Notes) -> T) -> Option<T> {
    while NOTES.is_taken.swap(true, Ordering::Acquire) {
        if !patient {
            return None;
        }
        sys::pause_ns(10_000);
    }
    // SAFETY: this thread has set it, and is alone.
    let done = act(unsafe { &mut *NOTES.notes.get() });
    NOTES.is_taken.store(false, Ordering::Release);
    Some(done)
}

/// inotify_add_watch(2), and a note of the path, as the kernel writes it out. Where that
/// can't be known the watch is one without a path.
///
/// A handler that interrupts it in the same thread must not come here.
///
/// # Errors
/// As the manual page says; EFAULT for a path that can't be read.
pub fn add_watch(fd: i32, path: *const core::ffi::c_char, mask: u32) -> sys::Result<i32> {
    let flags = match mask & libc::IN_DONT_FOLLOW {
        0 => libc::O_PATH,
        _ => libc::O_PATH | libc::O_NOFOLLOW,
    };
    if let Ok(fd) = sys::open_of_program(path, flags) {
        note(fd);
        sys::close(fd);
    }
    sys::add_watch_of_program(fd, path, mask)
}

fn note(fd: i32) {
    let mut buffer = [0; 4096];
    let stat = sys::fstat(fd);
    let target = with_descriptor_path(fd, |path| {
        sys::read_link_at(libc::AT_FDCWD, path, &mut buffer).ok()
    });
    if let (Ok(stat), Some(target)) = (stat, target)
        && target.starts_with(b"/")
    {
        let _ = locked(true, |notes| notes.add(stat.inode, target));
    }
}

impl Notes {
    fn add(&mut self, inode: u64, path: &[u8]) {
        let known = self
            .noted
            .entries_mut()
            .iter_mut()
            .find(|noted| noted.inode == inode);
        if let Some(known) = &known
            && text_at(self.text.entries(), known.at).is_some_and(|text| text.to_bytes() == path)
        {
            return;
        }
        let at = self.text.entries().len();
        // What there is no room for is not known.
        for &byte in path.iter().chain(b"\0") {
            if self.text.push(byte).is_err() {
                return;
            }
        }
        match known {
            Some(known) => known.at = at,
            None => {
                let _ = self.noted.push(Noted { inode, at });
            }
        }
    }
}

fn text_at(text: &[u8], at: usize) -> Option<&CStr> {
    CStr::from_bytes_until_nul(text.get(at..)?).ok()
}

/// The path of an inode, if it is still there.
pub(super) fn find(inode: u64) -> Option<Noted> {
    let noted = locked(false, |notes| {
        let noted = notes
            .noted
            .entries()
            .iter()
            .find(|noted| noted.inode == inode)?;
        let path = text_at(notes.text.entries(), noted.at)?;
        (sys::stat(path).ok()?.inode == inode).then_some(*noted)
    });
    noted.flatten()
}

/// Calls `act` with a noted path.
///
/// # Errors
/// EAGAIN where a thread is in the middle of noting one.
pub(super) fn with<T>(noted: Noted, act: impl FnOnce(&CStr) -> sys::Result<T>) -> sys::Result<T> {
    locked(false, |notes| {
        act(text_at(notes.text.entries(), noted.at).unwrap_or(c""))
    })
    .unwrap_or(Err(sys::Errno(libc::EAGAIN)))
}
