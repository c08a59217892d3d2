//! Who else has what the program has open: children that it was inherited by, processes
//! that it was passed to, or those that it came from.
//!
//! One look at every process that may be looked at. The session's own are left out: its
//! frozen copies have what they have for later, and the live process is whom the copy is of.
//!
//! What the program was started with came from outside, maybe from a process that can't be
//! seen from here: [`note_inherited`] remembers it.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::descriptors::Descriptors;
use super::kinds::Kind;
use crate::procfs;
use crate::records::Records;
use crate::sys::{self, Errno};

const MOST_INHERITED: usize = 64;

/// Inodes of the pipes and sockets that the program was started with; 0 is an empty place.
static INHERITED: [AtomicU64; MOST_INHERITED] = [const { AtomicU64::new(0) }; MOST_INHERITED];

/// Remembers what is open now: in a program that has not begun, all of it is somebody
/// else's as well.
pub fn note_inherited() {
    let mut places = INHERITED.iter();
    let _ = procfs::for_each_number(c"/proc/thread-self/fd", |fd| {
        if let Ok(stat) = sys::fstat(fd)
            && matches!(stat.mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK)
            && let Some(place) = places.next()
        {
            place.store(stat.inode, Ordering::Relaxed);
        }
    });
}

fn is_inherited(inode: u64) -> bool {
    INHERITED
        .iter()
        .any(|place| place.load(Ordering::Relaxed) == inode)
}

/// Which groups others have as well.
pub(super) struct Holders {
    elsewhere: Records<bool>,
}

/// Kinds of which it matters.
fn matters(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Pipe
            | Kind::Fifo
            | Kind::Socket
            | Kind::Epoll
            | Kind::Eventfd
            | Kind::Timerfd
            | Kind::Signalfd
            | Kind::Inotify
            | Kind::Memfd
    )
}

impl Holders {
    /// Looks for them, but for the process of this number, whom the calling one is a copy
    /// of.
    ///
    /// # Errors
    /// Where `/proc` can't be read, or there is no memory.
    pub(super) fn record(open: &Descriptors, original: i32) -> Result<Self, Errno> {
        let mut holders = Self {
            elsewhere: Records::growing(),
        };
        let mut any = false;
        for group in open.groups() {
            let inherited = match group.kind {
                Kind::Pipe | Kind::Fifo | Kind::Socket => is_inherited(group.inode),
                _ => false,
            };
            any |= matters(group.kind) && !inherited;
            holders.elsewhere.push(inherited)?;
        }
        if any {
            let own = sys::getpid();
            for_each_other(original, |pid| holders.look_at(open, own, pid))?;
        }
        Ok(holders)
    }

    /// Whether another process has this group's file.
    pub(super) fn has(&self, group: usize) -> bool {
        self.elsewhere.entries().get(group) == Some(&true)
    }

    /// Whether another process has one of these groups' files.
    pub(super) fn have_any(&self, mut groups: Range<usize>) -> bool {
        groups.any(|group| self.has(group))
    }

    fn mark(&mut self, open: &Descriptors, is_it: impl Fn(&super::descriptors::Group) -> bool) {
        for (place, group) in self.elsewhere.entries_mut().iter_mut().zip(open.groups()) {
            *place |= matters(group.kind) && is_it(group);
        }
    }

    fn look_at(&mut self, open: &Descriptors, own: i32, pid: i32) {
        let Some(directory) = procfs::of_process(pid, b"/fd\0", |path| {
            sys::open_to_read(path, libc::O_DIRECTORY).ok()
        }) else {
            // It has ended, or is none of ours to look at.
            return;
        };
        let _ = procfs::for_each_number_in(directory, |fd| {
            procfs::with_number(fd, |name| {
                self.look_at_one(open, own, (pid, fd), directory, name)
            });
        });
        sys::close(directory);
    }

    /// Looks at one descriptor of another process, by its name in a directory.
    fn look_at_one(
        &mut self,
        open: &Descriptors,
        own: i32,
        other: (i32, i32),
        directory: i32,
        name: &CStr,
    ) {
        let mut buffer = [0; 64];
        let Ok(target) = sys::read_link_at(directory, name, &mut buffer) else {
            return;
        };
        if let Some(inode) = inode_in(target) {
            self.mark(open, |group| {
                group.inode == inode && matches!(group.kind, Kind::Pipe | Kind::Socket)
            });
        } else if target.starts_with(b"anon_inode:") {
            let kind = Kind::of(target, 0);
            self.mark(open, |group| {
                group.kind == kind
                    && sys::compare_files((own, group.fd), other) == Ok(core::cmp::Ordering::Equal)
            });
        } else if target.starts_with(b"/memfd:") || has_fifo(open) {
            // A name says nothing of where it leads to from here.
            if let Ok(stat) = sys::stat_at(directory, name) {
                self.mark(open, |group| {
                    (group.device, group.inode) == (stat.device, stat.inode)
                        && matches!(group.kind, Kind::Memfd | Kind::Fifo)
                });
            }
        }
    }

    pub(super) fn release(self) {
        self.elsewhere.release();
    }
}

fn has_fifo(open: &Descriptors) -> bool {
    open.of_kind(Kind::Fifo).next().is_some()
}

/// The number in `pipe:[123]` and `socket:[123]`.
fn inode_in(target: &[u8]) -> Option<u64> {
    let number = target
        .strip_prefix(b"pipe:[")
        .or_else(|| target.strip_prefix(b"socket:["))?
        .strip_suffix(b"]")?;
    core::str::from_utf8(number).ok()?.parse().ok()
}

/// Calls `visit` with every process but this one, its original, and those that a session
/// keeps beside the live one.
///
/// # Errors
/// Where `/proc` can't be read.
pub(super) fn for_each_other(original: i32, mut visit: impl FnMut(i32)) -> Result<(), Errno> {
    let own = sys::getpid();
    procfs::for_each_number(c"/proc", |pid| {
        // A keeper that has not come to close its descriptors has no name of its own, but
        // the memory of the original.
        if pid != own
            && pid != original
            && !is_of_the_session(pid)
            && !sys::have_same_memory(original, pid)
        {
            visit(pid);
        }
    })
}

/// Whether it is a frozen copy, or a keeper: they are told by the names that the engine
/// gives them.
fn is_of_the_session(pid: i32) -> bool {
    procfs::of_process(pid, b"/comm\0", |path| {
        let mut buffer = [0; 32];
        Some(is_name_of_the_session(procfs::read(path, &mut buffer)?))
    })
    .unwrap_or(false)
}

fn is_name_of_the_session(name: &[u8]) -> bool {
    if name.starts_with(b"snap-keeper") {
        return true;
    }
    let Some(rest) = name.strip_prefix(b"#") else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn names() {
        assert!(is_name_of_the_session(b"#12 python\n"));
        assert!(is_name_of_the_session(b"snap-keeper\n"));
        assert!(!is_name_of_the_session(b"#python\n"));
        assert!(!is_name_of_the_session(b"12 python\n"));
        assert_eq!(inode_in(b"pipe:[4711]"), Some(4711));
        assert_eq!(inode_in(b"pipe:[]"), None);
    }

    #[test]
    fn a_child_has_what_it_was_given() {
        let (given, _kept) = std::io::pipe().expect("a pipe");
        let (own, _other) = std::io::pipe().expect("a pipe");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(given.try_clone().expect("a descriptor"))
            .spawn()
            .expect("sleep is there");
        let open = Descriptors::of(&[given.as_raw_fd(), own.as_raw_fd()]);
        let holders = Holders::record(&open, 0).expect("/proc is mounted");
        let has = |fd: i32| holders.has(open.group_of(fd).expect("it is open"));
        let found = (has(given.as_raw_fd()), has(own.as_raw_fd()));
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
        assert_eq!(found, (true, false));
        holders.release();
        open.release();
    }
}
