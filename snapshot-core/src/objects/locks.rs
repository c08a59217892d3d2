//! File locks: those of an open file description (`flock`, `F_OFD_SETLK`, leases), and those of
//! the process (`F_SETLK`). A copy does not get the latter.
//!
//! They come back last: closing any descriptor of a file drops the process's locks on it. Between
//! the branch's end and then they are free, so a waiting process may get one. The take says so,
//! and the revert counts lost locks.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::{
    descriptors::{Descriptors, with_information_path},
    recording::{Object, Recording},
};
use crate::kernel::{
    proc_text::{self, Lock, LockKind},
    procfs,
    records::Records,
};
use crate::sys::{self, Errno};
use crate::terms::{Kind, Why, comes_back};

const F_OFD_SETLK: i32 = 37;
const F_SETLEASE: i32 = 1024;

/// The program's locks, with their groups.
pub(super) struct Locks {
    /// Every group that can have locks.
    groups: Records<usize>,
    locks: Records<(usize, Lock)>,
    /// Groups with locks on a mapped file.
    mapped: Records<usize>,
}

impl Object for Locks {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            groups: Records::growing(),
            locks: Records::growing(),
            mapped: Records::growing(),
        };
        let mut unread = None;
        for (number, group) in recording.open.groups().iter().enumerate() {
            if !matches!(group.kind, Kind::File | Kind::Directory | Kind::Memfd)
                || group.flags & libc::O_PATH != 0
            {
                continue;
            }
            found.groups.push(number)?;
            // The original has the process's locks. Only the descriptor that took a lock shows
            // it.
            let read = with_path_in(recording.thread, group.fd, |path| found.read(path, number));
            match read {
                Err(Errno(libc::EACCES | libc::EPERM | libc::ENOENT | libc::ESRCH)) => {
                    unread = unread.or_else(|| Some(why_unread(recording.thread)));
                    with_information_path(group.fd, |path| found.read(path, number))?;
                }
                read => read?,
            }
        }
        if let Some(why) = unread {
            recording.name(Kind::Lock, why, -1, 0);
        }
        if let Some(why) = comes_back::locks(!found.locks.entries().is_empty()) {
            found.look_for_mappings(recording)?;
            recording.name(Kind::Lock, why, -1, 0);
        }
        Ok(found)
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for &number in self.groups.entries() {
            if let Some(group) = open.groups().get(number) {
                failed += self.restore_group(number, group.fd);
            }
        }
        failed
    }

    fn release(self) {
        self.groups.release();
        self.locks.release();
        self.mapped.release();
    }
}

impl Locks {
    fn read(&mut self, path: &CStr, group: usize) -> Result<(), Errno> {
        let mut outcome = Ok(());
        procfs::for_each_line(path, |line| {
            if let Some(lock) = proc_text::lock(line)
                && outcome.is_ok()
            {
                outcome = self.locks.push((group, lock));
            }
        })?;
        outcome
    }

    /// The locks of a group.
    fn of(&self, group: usize) -> impl Iterator<Item = &Lock> {
        // They are sorted by group.
        let locks = self.locks.entries();
        let first = locks.partition_point(|(of, _)| *of < group);
        let rest = locks.get(first..).unwrap_or(&[]).iter();
        rest.take_while(move |(of, _)| *of == group)
            .map(|(_, lock)| lock)
    }

    /// Whether a group has locks.
    pub(super) fn has_any(&self, group: usize) -> bool {
        self.of(group).next().is_some()
    }

    /// Whether the process has locks on a group's file.
    pub(super) fn has_any_of_process(&self, group: usize) -> bool {
        self.of(group).any(|lock| lock.kind == LockKind::Process)
    }

    /// Whether a group has locks of its own on a mapped file: the mapping keeps them, too.
    pub(super) fn is_mapped(&self, group: usize) -> bool {
        self.mapped.entries().contains(&group)
            && self.of(group).any(|lock| lock.kind != LockKind::Process)
    }

    fn look_for_mappings(&mut self, recording: &Recording<'_>) -> Result<(), Errno> {
        let mut outcome = Ok(());
        procfs::for_each_line(c"/proc/thread-self/maps", |line| {
            let Some(mapping) = proc_text::file_mapping(line).filter(|found| found.inode != 0)
            else {
                return;
            };
            let mut before = None;
            for &(number, _) in self.locks.entries() {
                let group = recording.open.groups().get(number);
                if before != Some(number)
                    && group.is_some_and(|group| group.inode == mapping.inode)
                    && outcome.is_ok()
                {
                    outcome = self.mapped.push(number);
                }
                before = Some(number);
            }
        })?;
        outcome
    }

    fn restore_group(&self, group: usize, fd: i32) -> u32 {
        let mut now_flock = false;
        let mut now_description = false;
        let mut now_lease = false;
        let read = with_information_path(fd, |path| {
            procfs::for_each_line(path, |line| {
                match proc_text::lock(line).map(|lock| lock.kind) {
                    Some(LockKind::Flock) => now_flock = true,
                    Some(LockKind::Description) => now_description = true,
                    Some(LockKind::Lease) => now_lease = true,
                    _ => {}
                }
            })
        });
        let mut failed = u32::from(read.is_err());
        // Drops the branch's locks, to make way for the recorded ones.
        if now_flock && !self.of(group).any(|lock| lock.kind == LockKind::Flock) {
            failed += u32::from(sys::flock(fd, libc::LOCK_UN).is_err());
        }
        if now_description {
            let unlocked = sys::lock_range(fd, F_OFD_SETLK, libc::F_UNLCK, 0, 0);
            failed += u32::from(unlocked.is_err());
        }
        if now_lease && !self.of(group).any(|lock| lock.kind == LockKind::Lease) {
            let given = sys::fcntl(fd, F_SETLEASE, libc::F_UNLCK as isize as usize);
            failed += u32::from(given.is_err());
        }
        for lock in self.of(group) {
            failed += u32::from(take(fd, lock).is_err());
        }
        failed
    }
}

fn take(fd: i32, lock: &Lock) -> Result<(), Errno> {
    let kind = if lock.is_exclusive {
        libc::F_WRLCK
    } else {
        libc::F_RDLCK
    };
    match lock.kind {
        LockKind::Flock if lock.is_exclusive => sys::flock(fd, libc::LOCK_EX | libc::LOCK_NB),
        LockKind::Flock => sys::flock(fd, libc::LOCK_SH | libc::LOCK_NB),
        LockKind::Description => sys::lock_range(fd, F_OFD_SETLK, kind, lock.start, lock.length),
        LockKind::Lease => sys::fcntl(fd, F_SETLEASE, kind as isize as usize).map(drop),
        LockKind::Process => sys::lock_range(fd, libc::F_SETLK, kind, lock.start, lock.length),
    }
}

/// Why the original's locks can't be read: a killed process has none, but stays until it is
/// reaped.
fn why_unread(thread: i32) -> Why {
    /// The kernel's PF_EXITING.
    const EXITING: u64 = 0x4;
    let mut buffer = [0; 320];
    let stat = procfs::of_process(thread, b"/stat", |path| {
        procfs::read(path, &mut buffer)
            .ok()
            .and_then(proc_text::stat)
    });
    let has_ended = match stat {
        Some(stat) => stat.flags & EXITING != 0 || matches!(stat.state, b'Z' | b'X'),
        None => sys::kill(thread, 0) == Err(Errno(libc::ESRCH)),
    };
    comes_back::unread_locks(has_ended)
}

/// Calls `with` with the path of another process's entry in `fdinfo`.
fn with_path_in(
    pid: i32,
    fd: i32,
    with: impl FnOnce(&CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    const DIRECTORY: &[u8] = b"/fdinfo/";
    let mut name = [0; 20];
    for (place, &byte) in name
        .iter_mut()
        .zip(DIRECTORY.iter().chain(&procfs::numbered(fd, b"\0")))
    {
        *place = byte;
    }
    procfs::of_process(pid, &name, |path| Some(with(path))).unwrap_or(Err(Errno(libc::ENOENT)))
}
