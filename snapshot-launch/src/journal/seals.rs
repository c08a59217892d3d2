//! Which files have been changed by others. The journal hands out every descriptor that can write
//! to an old file, and hears of its end (inotify). When nobody is left that may write, it notes
//! the file's size and time of change: its *seal*. A file that differs from its seal has been
//! changed by somebody else.
//!
//! Nothing is said of a file that was never sealed: a snapshot holds it open, or the program has set
//! its times. So no change of the program passes for another's. A change by others while the program
//! has the file open is not seen.
#![expect(
    unsafe_code,
    reason = "inotify and leases, which nix doesn't wrap here"
)]

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use snapshot_core::terms::SnapshotId;

use super::stat::{FileId, Stat, Timestamp};
use super::store::PREFIX;
use super::sys;

/// How a file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// The program may write to it.
    Open { changed: Changed },
    /// Nobody of the program can write to it, and this is how it was then.
    Closed {
        size: u64,
        modified: Timestamp,
        changed: Changed,
    },
    /// It can't be told.
    Unsure,
}

/// The newest snapshot that had kept the file's content when somebody else changed it: from a later
/// one on, their change is part of what comes back.
type Changed = Option<SnapshotId>;

/// A file, and not a later one with its number.
type Key = (FileId, Option<Timestamp>);

fn key(stat: &Stat) -> Key {
    (stat.id, stat.born)
}

/// Those of all files that were kept.
#[derive(Debug, Default)]
pub(crate) struct Seals {
    events: Option<OwnedFd>,
    watched: HashMap<i32, Key>,
    /// Watches that nobody needs any more. To close them all takes the kernel some 15 ms, in which
    /// it waits for all processors; one by one they cost little.
    unneeded: HashSet<i32>,
    of: HashMap<Key, Seal>,
    /// Those that had a name of the program's when they were first opened.
    named: HashSet<Key>,
}

impl Seals {
    /// Files whose last writer has gone may wait here.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Nothing is known any more.
    pub(crate) fn begin_anew(&mut self) {
        self.unneeded
            .extend(self.watched.drain().map(|(watch, _)| watch));
        self.of.clear();
        self.named.clear();
    }

    /// Takes some of the watches away that nobody needs. Whether there are more.
    pub(crate) fn unwatch_some(&mut self, count: usize) -> bool {
        let Some(events) = &self.events else {
            return false;
        };
        let some: Vec<i32> = self.unneeded.iter().copied().take(count).collect();
        for watch in some {
            self.unneeded.remove(&watch);
            // SAFETY: takes numbers. It may have gone with its file.
            unsafe { libc::inotify_rm_watch(events.as_raw_fd(), watch) };
        }
        !self.unneeded.is_empty()
    }

    /// The program is about to get a descriptor of this file, or to change it in another way.
    /// `kept` finds the newest snapshot that has kept its content already.
    pub(crate) fn opens(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        kept: impl FnOnce() -> Option<SnapshotId>,
    ) {
        if !self.of.contains_key(&key(stat)) && has_name(pin, stat) {
            self.named.insert(key(stat));
        }
        let seal = match self.of.get(&key(stat)).copied() {
            Some(Seal::Closed {
                size,
                modified,
                changed,
            }) => Seal::Open {
                changed: match (stat.size, stat.modified) == (size, modified) {
                    true => changed,
                    false => changed.max(kept()),
                },
            },
            Some(_) => return,
            None if self.watch(pin, key(stat)).is_ok() => Seal::Open { changed: None },
            None => Seal::Unsure,
        };
        self.of.insert(key(stat), seal);
    }

    /// The program changes its times, so that they say nothing.
    pub(crate) fn loses(&mut self, stat: &Stat) {
        if let Some(seal) = self.of.get_mut(&key(stat)) {
            *seal = Seal::Unsure;
        }
    }

    /// The same by a call that the kernel carries out later, maybe after others were served.
    pub(crate) fn will_lose(&mut self, stat: &Stat) {
        self.of.insert(key(stat), Seal::Unsure);
    }

    /// Whether somebody else has changed this file, which is like `now`, after its content was kept
    /// for this snapshot.
    pub(crate) fn differs(&self, now: &Stat, id: SnapshotId) -> bool {
        match self.of.get(&key(now)) {
            Some(Seal::Closed {
                size,
                modified,
                changed,
            }) => {
                let is_older = changed.is_some_and(|changed| changed >= id);
                is_older || (now.size, now.modified) != (*size, *modified)
            }
            Some(Seal::Open { .. } | Seal::Unsure) | None => false,
        }
    }

    /// The program is about to take a name away from it.
    pub(crate) fn loses_name(&mut self, stat: &Stat) {
        self.named.remove(&key(stat));
    }

    /// Whether this file had a name when the program first opened it, and the program has taken
    /// none away.
    pub(crate) fn had_name(&self, stat: &Stat) -> bool {
        self.named.contains(&key(stat))
    }

    /// Files with a writer that has gone. Each must be sealed.
    pub(crate) fn closed(&mut self) -> Vec<FileId> {
        let mut found = Vec::new();
        let Some(events) = &self.events else {
            return found;
        };
        let mut bytes = [0_u8; 16 * 1024];
        loop {
            // SAFETY: reads into the array, whose length is given.
            let length =
                unsafe { libc::read(events.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
            let Some(mut left) = usize::try_from(length)
                .ok()
                .and_then(|end| bytes.get(..end))
            else {
                return found;
            };
            if left.is_empty() {
                return found;
            }
            // A watch, what happened, a cookie, the length of a name.
            while let Some((head, rest)) = left.split_at_checked(16) {
                let word = |at: usize| {
                    let bytes = head.get(at..at + 4).and_then(|part| part.try_into().ok());
                    u32::from_ne_bytes(bytes.unwrap_or_default())
                };
                let (watch, mask) = (word(0).cast_signed(), word(4));
                left = rest.get(word(12) as usize..).unwrap_or_default();
                if mask & libc::IN_Q_OVERFLOW != 0 {
                    self.of.values_mut().for_each(|seal| *seal = Seal::Unsure);
                } else if mask & libc::IN_IGNORED != 0 {
                    self.watched.remove(&watch);
                    self.unneeded.remove(&watch);
                } else if let Some(id) = self.watched.get(&watch) {
                    found.push(id.0);
                }
            }
        }
    }

    /// Seals a file, if nobody can write to it now. Only its owner or root can know.
    pub(crate) fn seal(&mut self, pin: BorrowedFd<'_>) {
        let Ok(file) = Stat::of_fd(pin) else { return };
        let Some(Seal::Open { changed }) = self.of.get(&key(&file)).copied() else {
            return;
        };
        let seal = match closed_state(pin) {
            Ok(stat) => Seal::Closed {
                size: stat.size,
                modified: stat.modified,
                changed,
            },
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return,
            Err(_) => Seal::Unsure,
        };
        self.of.insert(key(&file), seal);
    }

    fn watch(&mut self, pin: BorrowedFd<'_>, file: Key) -> io::Result<()> {
        let events = match self.events.take() {
            Some(events) => events,
            None => {
                let flags = libc::IN_CLOEXEC | libc::IN_NONBLOCK;
                // SAFETY: takes a number.
                let fd = Errno::result(unsafe { libc::inotify_init1(flags) })?;
                // SAFETY: the kernel has just made it for this process.
                unsafe { OwnedFd::from_raw_fd(fd) }
            }
        };
        let path = super::by_descriptor::path_of(pin);
        // SAFETY: reads a string that ends.
        let watch = unsafe {
            libc::inotify_add_watch(events.as_raw_fd(), path.as_ptr(), libc::IN_CLOSE_WRITE)
        };
        self.events = Some(events);
        let watch = Errno::result(watch)?;
        // The same file again has the same watch.
        self.unneeded.remove(&watch);
        self.watched.insert(watch, file);
        Ok(())
    }
}

/// Whether the name is still there by which this was found. Links in a store are the journal's own,
/// and go with their snapshot.
fn has_name(pin: BorrowedFd<'_>, stat: &Stat) -> bool {
    let (path, is_gone) = sys::path_and_whether_gone(pin);
    let is_kept = path
        .iter()
        .any(|part| part.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    stat.nlink > 0 && !is_kept && !is_gone
}

/// The file as it is while nobody has it open for writing: the kernel gives no read lease
/// otherwise.
///
/// # Errors
/// EAGAIN if somebody has.
fn closed_state(pin: BorrowedFd<'_>) -> io::Result<Stat> {
    let file = sys::reopen_quietly(pin)?;
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) })?;
    // The lease ends with the descriptor.
    Stat::of_fd(file.as_fd())
}
