//! Marks descriptors that snapshots hold open too while others wait for the end: connections,
//! pipes to other processes, terminals, and files that can't be opened again. While a frozen copy
//! holds such an object, a close by the program does not end it. So the agent looks here at each
//! close, and makes the copies let go.
//!
//! One bit per descriptor, in memory that all copies share. A wrong bit costs one look.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "shares bits with all copies")]

use crate::terms::Closed;
use core::ops::RangeInclusive;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::holders::others_have_terminal;
use crate::kernel::procfs;
use crate::process::own_memory::keep_out;
use crate::sys::{self, Errno};

/// Higher descriptors are never marked.
const MOST: usize = 1 << 16;
const WORDS: usize = MOST / 64;

static BITS: AtomicPtr<[AtomicU64; WORDS]> = AtomicPtr::new(core::ptr::null_mut());

/// Begins to mark. Without memory nothing is marked.
pub fn begin() {
    if let Ok(start) = map() {
        keep_out(start.as_ptr().addr());
        BITS.store(start.as_ptr().cast(), Ordering::Release);
    }
}

/// Maps named memory: the name shows that it is not the program's. It has none if the program may
/// have no file of that length.
fn map() -> sys::Result<NonNull<u8>> {
    const BYTES: usize = size_of::<[AtomicU64; WORDS]>();
    if !sys::may_have_length(BYTES as u64) {
        return sys::map_memory(BYTES, true).ok_or(Errno(libc::ENOMEM));
    }
    let fd = sys::memfd(c"cargo-snapshot-held")?;
    let mapped = sys::set_length(fd, BYTES as u64).and_then(|()| sys::map_file_shared(fd, BYTES));
    sys::close(fd);
    mapped
}

fn word_of(fd: i32) -> Option<(&'static AtomicU64, u64)> {
    // SAFETY: null, or a mapping that is never unmapped, which the kernel has zeroed.
    let words = unsafe { BITS.load(Ordering::Acquire).as_ref() }?;
    let fd = usize::try_from(fd).ok()?;
    Some((words.get(fd / 64)?, 1 << (fd % 64)))
}

/// Notes that a snapshot holds this descriptor's object.
pub(super) fn mark(fd: i32) {
    if let Some((word, bit)) = word_of(fd) {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// Whether a snapshot may hold it.
pub fn is_marked(fd: i32) -> bool {
    word_of(fd).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// Calls `visit` with every descriptor of a range that a snapshot may hold.
pub fn for_each_marked(range: RangeInclusive<u32>, mut visit: impl FnMut(i32)) {
    // SAFETY: as above.
    let Some(words) = (unsafe { BITS.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    for (word, first) in words.iter().zip((0_u32..).step_by(64)) {
        let mut bits = word.load(Ordering::Relaxed);
        while bits != 0 {
            let fd = first + bits.trailing_zeros();
            bits &= bits - 1;
            if range.contains(&fd) {
                visit(fd.cast_signed());
            }
        }
    }
}

impl Closed {
    fn of(fd: i32) -> Option<Self> {
        let stat = sys::fstat(fd).ok()?;
        let flags = sys::status_flags(fd).ok()?;
        // Nobody waits for the end of a path.
        (flags & libc::O_PATH == 0).then_some(Self {
            inode: stat.inode,
            writes: flags & libc::O_ACCMODE != libc::O_RDONLY,
            pid: sys::getpid(),
            fd,
        })
    }

    /// Whether another descriptor keeps it open. For a pipe any end of the same direction does.
    pub(super) fn is_open_by(&self, (pid, fd): (i32, i32), kind_is_stream: bool) -> bool {
        let is_same = || sys::compare_files((pid, fd), (self.pid, self.fd));
        match is_same() {
            Ok(core::cmp::Ordering::Equal) => true,
            Ok(_) => kind_is_stream,
            // If the kernel hides it, the same file and direction will do.
            Err(_) => true,
        }
    }
}

/// Whether a mode is a pipe's or a socket's.
fn is_stream(mode: u32) -> bool {
    matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK)
}

/// Before the program closes a marked descriptor: what snapshots must let go of, unless the
/// program has a duplicate. Clears the mark.
pub fn closing(fd: i32) -> Option<Closed> {
    let (word, bit) = word_of(fd)?;
    word.fetch_and(!bit, Ordering::Relaxed);
    let closed = Closed::of(fd)?;
    let is_stream = sys::fstat(fd).is_ok_and(|stat| is_stream(stat.mode));
    let mut other = None;
    let _ = procfs::for_each_descriptor(|candidate| {
        if candidate != fd
            && Closed::of(candidate)
                .is_some_and(|it| (it.inode, it.writes) == (closed.inode, closed.writes))
            && closed.is_open_by((closed.pid, candidate), is_stream)
        {
            other = Some(candidate);
        }
    });
    match other {
        Some(other) => {
            mark(other);
            None
        }
        // A held terminal comes back whole if nobody else has its other end.
        None if sys::terminal_number(fd).is_ok_and(|number| !others_have_terminal(number)) => None,
        None => Some(closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_ones_of_a_range_are_found() {
        begin();
        for fd in [5, 64, 200, 65_535, 65_536] {
            mark(fd);
        }
        let mut found = Vec::new();
        for_each_marked(6..=u32::MAX, |fd| found.push(fd));
        assert_eq!(found, [64, 200, 65_535]);
        found.clear();
        for_each_marked(0..=63, |fd| found.push(fd));
        assert_eq!(found, [5]);
    }
}
