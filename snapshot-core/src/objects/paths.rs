//! The paths of the files that a program watches.
//!
//! Threads note them in ordinary context. A copy reads them. If a thread was parked in the middle
//! of noting one, the copy knows no path.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "a list behind a lock of its own")]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use super::descriptors::with_descriptor_path;
use crate::kernel::records::Records;
use crate::sys;

/// A noted path, with its device and inode from `stat`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    device: u64,
    inode: u64,
    at: usize,
}

/// A table of paths by inode: a program may watch very many.
struct Notes {
    /// A hash table: its length is a power of two, half is empty. An inode's notes lie from its
    /// own place to the next empty one.
    noted: Records<Option<Noted>>,
    count: usize,
    /// The paths, each with a NUL behind it.
    text: Records<u8>,
}

struct Locked {
    is_taken: AtomicBool,
    notes: UnsafeCell<Notes>,
}

// SAFETY: only the thread that has set `is_taken` uses the notes.
unsafe impl Sync for Locked {}

/// The most files; each has about a hundred bytes of path.
const MOST: usize = 1 << 20;

static NOTES: Locked = Locked {
    is_taken: AtomicBool::new(false),
    notes: UnsafeCell::new(Notes {
        noted: Records::growing(),
        count: 0,
        text: Records::new(MOST * 100),
    }),
};

/// Calls `act` with the notes. Returns `None` if another thread has them and this one is not
/// patient.
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

/// inotify_add_watch(2), and a note of the full path from the kernel. If the kernel can't give
/// it, nothing is noted.
///
/// A handler that interrupts this call must not call it.
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
        // Without memory the path stays unknown.
        let _ = locked(true, |notes| notes.add((stat.device, stat.inode), target));
    }
}

impl Notes {
    fn add(&mut self, (device, inode): (u64, u64), path: &[u8]) -> sys::Result<()> {
        let known = self
            .of_inode(inode)
            .find(|(_, noted)| noted.device == device);
        if let Some((_, known)) = known
            && text_at(self.text.entries(), known.at).is_some_and(|text| text.to_bytes() == path)
        {
            return Ok(());
        }
        if known.is_none() {
            self.make_room()?;
        }
        let at = self.text.entries().len();
        for &byte in path.iter().chain(b"\0") {
            self.text.push(byte)?;
        }
        let noted = Noted { device, inode, at };
        match known {
            Some((place, _)) => self.put(place, noted),
            None => self.insert(noted),
        }
        Ok(())
    }

    /// The places to look for an inode's number.
    fn places(&self, inode: u64) -> impl Iterator<Item = usize> + use<> {
        // Spreads consecutive numbers (2^64 by the golden ratio).
        let spread = inode.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = self.noted.entries().len();
        (0..count).map(move |step| (spread as usize + step) & (count - 1))
    }

    /// The notes of an inode, with their places.
    fn of_inode(&self, inode: u64) -> impl Iterator<Item = (usize, Noted)> {
        let noted = self.noted.entries();
        self.places(inode)
            .map_while(|place| Some((place, (*noted.get(place)?)?)))
            .filter(move |(_, noted)| noted.inode == inode)
    }

    fn insert(&mut self, noted: Noted) {
        let empty = self
            .places(noted.inode)
            .find(|&place| matches!(self.noted.entries().get(place), Some(None)));
        if let Some(place) = empty {
            self.put(place, noted);
            self.count += 1;
        }
    }

    fn put(&mut self, place: usize, noted: Noted) {
        if let Some(slot) = self.noted.entries_mut().get_mut(place) {
            *slot = Some(noted);
        }
    }

    /// Grows the table if another note would fill more than half of it.
    fn make_room(&mut self) -> sys::Result<()> {
        const FIRST: usize = 64;
        let places = self.noted.entries().len();
        if (self.count + 1) * 2 <= places {
            return Ok(());
        }
        if self.count >= MOST {
            return Err(sys::Errno(libc::ENOSPC));
        }
        let mut larger = Records::growing();
        for _ in 0..(places * 2).max(FIRST) {
            if let Err(errno) = larger.push(None) {
                larger.release();
                return Err(errno);
            }
        }
        let former = core::mem::replace(&mut self.noted, larger);
        self.count = 0;
        for noted in former.entries().iter().flatten() {
            self.insert(*noted);
        }
        former.release();
        Ok(())
    }
}

fn text_at(text: &[u8], at: usize) -> Option<&CStr> {
    CStr::from_bytes_until_nul(text.get(at..)?).ok()
}

/// The kernel's number of a device, from the one in `stat`.
fn kernel_device(device: u64) -> u64 {
    u64::from(libc::major(device)) << 20 | u64::from(libc::minor(device))
}

/// The path of an inode, if it is still there. `device` is the kernel's number. Some file systems
/// show programs another one; then a match of the inode alone will do, if it is the only one.
pub(super) fn find(device: u64, inode: u64) -> Option<Noted> {
    let noted = locked(false, |notes| {
        let of_number = || notes.of_inode(inode).map(|(_, noted)| noted);
        let exact = of_number().find(|noted| kernel_device(noted.device) == device);
        let noted = exact.or_else(|| {
            let mut all = of_number();
            all.next().filter(|_| all.next().is_none())
        })?;
        let stat = sys::stat(text_at(notes.text.entries(), noted.at)?).ok()?;
        ((stat.device, stat.inode) == (noted.device, noted.inode)).then_some(noted)
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

pub(super) const PROC: i64 = 0x9fa0;

/// The `f_type` of file systems that keep an open file's state in this kernel alone.
const LOCAL: [i64; 16] = [
    0xef53,      // ext
    0x0102_1994, // tmpfs
    0x794c_7630, // overlay
    0x9123_683e, // btrfs
    0x5846_5342, // xfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
    0x8584_58f6, // ramfs
    0x3153_464a, // jfs
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x9660,      // iso9660
    0x4d44,      // vfat
    0x2011_bab0, // exfat
    PROC,
];

/// Whether a file system of this type keeps an open file's state in this kernel alone.
pub fn is_local(file_system: i64) -> bool {
    LOCAL.contains(&file_system)
}

/// Whether a path's file can be opened for reading and writing.
pub(super) fn is_path_openable(fd: i32) -> bool {
    sys::file_system(fd).is_ok_and(is_local) && sys::may_open(fd, libc::R_OK | libc::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(notes: &Notes, inode: u64, device: u64) -> Option<&CStr> {
        let (_, noted) = notes
            .of_inode(inode)
            .find(|(_, noted)| noted.device == device)?;
        text_at(notes.text.entries(), noted.at)
    }

    #[test]
    fn thousands_are_found_each_by_its_device() {
        let mut notes = Notes {
            noted: Records::growing(),
            count: 0,
            text: Records::growing(),
        };
        for round in 0..2 {
            for inode in 0..3000_u64 {
                for device in [1, 2] {
                    let path = format!("/{round}/{device}/{inode}");
                    notes
                        .add((device, inode * 4096), path.as_bytes())
                        .expect("there is room");
                }
            }
            assert_eq!(notes.count, 6000);
        }
        let found = path_of(&notes, 1234 * 4096, 2).expect("it was noted");
        assert_eq!(found, c"/1/2/1234");
        assert_eq!(path_of(&notes, 1234 * 4096, 3), None);
        assert_eq!(path_of(&notes, 5, 1), None);
        notes.noted.release();
        notes.text.release();
    }
}
