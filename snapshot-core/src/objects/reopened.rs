//! Files that the copy keeps by path alone: regular files, directories and memory files that no
//! other process has.
//!
//! The kernel counts a copy as a holder of the open file. So a close by the live process would
//! not be the last one, which ends locks, leases and write access. A path descriptor (`O_PATH`)
//! does not count, and works even for a deleted file. The copy opens the file again by it, with
//! the same rights and flags. Other modules put back offsets, locks and owners.
//!
//! The copies hold files that they can't open that way, as they hold connections, and let go when
//! the live process closes them by libc ([`super::open_marks`]). These are files that another
//! process has too, inherited ones, those that the mode forbids by now, and those with state on a
//! server. They also hold a locked file that is mapped: the dead branch's memory ends only after
//! the revert, and would end the lock.
//!
//! A file below `/proc/self` shows one process, and dies with it. The revived process opens it
//! again by its name.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Fate, Group, LINK_BYTES, open_as_owner, with_descriptor_path},
    files, holders, locks,
    paths::{PROC, is_local},
    recording::Recording,
};
use crate::kernel::procfs;
use crate::sys::{self, Errno};
use crate::terms::{
    Kind,
    comes_back::{File, Terminal},
};
use crate::threads::slots;

/// The path of a file below `/proc/self`, from there on, with its NUL.
type Name = [u8; 64];

/// The files below `/proc/self`.
pub(super) struct Reopened {
    of_process: ByGroup<Name>,
    /// The process's id at the time.
    pid: i32,
}

/// The file system of each group.
struct FileSystems {
    /// The previous group's device and file system: often the same.
    known: Option<(u64, i64)>,
}

impl FileSystems {
    fn file_system(&mut self, group: &Group) -> Result<i64, Errno> {
        match self.known {
            Some((device, kind)) if device == group.device => Ok(kind),
            _ => {
                let kind = sys::file_system(group.fd)?;
                self.known = Some((group.device, kind));
                Ok(kind)
            }
        }
    }
}

impl Reopened {
    /// Decides which files the copy lets go of. `locks` are already recorded.
    pub(super) fn record(
        recording: &mut Recording<'_>,
        locks: &locks::Locks,
    ) -> Result<Self, Errno> {
        let mut of_process = ByGroup::new();
        let mut place = FileSystems { known: None };
        let outputs = files::outputs();
        let is_copy = recording.original != sys::getpid();
        recording.for_each_group(|recording, number, group| {
            if group.kind == Kind::Terminal {
                return hold_terminal(recording, number, &group);
            }
            if !matches!(group.kind, Kind::File | Kind::Directory | Kind::Memfd)
                || !recording.open.are_told_apart
            {
                return Ok(());
            }
            let file_system = place.file_system(&group)?;
            let sharing = recording.sharing(number);
            let file = File {
                has_locks: locks.has_any(number),
                can_be_reopened: is_openable(&group, file_system),
                ..File::default()
            };
            recording.name_all(file.last_close(group.kind, sharing), &group);
            if !file.can_be_reopened {
                recording.open.will_be_waited_for(number);
                return Ok(());
            }
            let mut path = [0; LINK_BYTES];
            if file_system == PROC
                && let Some(name) = name_in(recording.original, group.fd, &mut path)
            {
                of_process.push(number, name)?;
            }
            // Unseen processes may have inherited files.
            let stays = sharing.is_elsewhere
                || files::is_output(&group, &outputs)
                || (group.kind == Kind::Directory && !is_at_start(group.fd))
                // A process that freezes itself has these.
                || (!is_copy && locks.has_any_of_process(number))
                || locks.is_mapped(number);
            recording.open.can_be_reopened(number, !stays);
            if stays {
                recording.open.will_be_waited_for(number);
            }
            Ok(())
        })?;
        Ok(Self {
            of_process,
            pid: recording.original,
        })
    }

    /// Opens all again except files below `/proc/self`: the threads do not exist yet. Returns how
    /// many failed.
    pub(super) fn open(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for (number, group) in open.groups().iter().enumerate() {
            if group.fate == Fate::Reopened && !self.is_of_process(number) {
                let opened = open_file(group).and_then(|fd| open.install(group, fd));
                failed += u32::from(opened.is_err());
            }
        }
        failed
    }

    /// Opens the files below `/proc/self`.
    pub(super) fn open_of_process(&self, open: &Descriptors) -> u32 {
        self.of_process.restore(open, |group, name| {
            if group.fate != Fate::Reopened {
                return Ok(());
            }
            let fd = self.open_by_name(group, name)?;
            open.install(group, fd)
        })
    }

    fn is_of_process(&self, number: usize) -> bool {
        let entries = self.of_process.entries();
        entries
            .binary_search_by_key(&number, |entry| entry.0)
            .is_ok()
    }

    fn open_by_name(&self, group: &Group, name: &Name) -> Result<i32, Errno> {
        let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno(libc::ENAMETOOLONG))?;
        let mut path = [0; 160];
        let mut length = 0;
        let mut put = |part: &[u8]| {
            for (place, &byte) in path.iter_mut().skip(length).zip(part) {
                *place = byte;
            }
            length += part.len();
        };
        put(b"/proc/");
        let mut digits = [0; 10];
        put(procfs::decimal(sys::getpid().unsigned_abs(), &mut digits));
        match task_in(name.to_bytes()) {
            Some((tid, rest)) => {
                let now = match slots::new_tid_of(tid) {
                    Some(now) if now != 0 => now,
                    _ if tid == self.pid => sys::getpid(),
                    _ => tid,
                };
                put(b"/task/");
                put(procfs::decimal(now.unsigned_abs(), &mut digits));
                put(rest);
            }
            None => put(name.to_bytes()),
        }
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno(libc::ENAMETOOLONG))?;
        sys::open(path, flags_of(group))
    }

    pub(super) fn release(self) {
        self.of_process.release();
    }
}

/// Holds a terminal: its other side notices the last close, as a peer does. An inherited terminal
/// is the user's.
fn hold_terminal(recording: &mut Recording<'_>, number: usize, group: &Group) -> Result<(), Errno> {
    if holders::is_inherited(group.device, group.inode) {
        return Ok(());
    }
    recording.open.will_be_waited_for(number);
    let terminal = Terminal {
        is_master: sys::terminal_number(group.fd).is_ok(),
        ..Terminal::default()
    };
    let why = terminal.last_close(recording.sharing(number));
    recording.name_all(why, group);
    Ok(())
}

/// Whether a group's file can be opened again by path, with the same rights.
fn is_openable(group: &Group, file_system: i64) -> bool {
    if !is_local(file_system) {
        return false;
    }
    let mut mode = 0;
    if group.can_read() {
        mode |= libc::R_OK;
    }
    if group.can_write() {
        mode |= libc::W_OK;
    }
    // Only a file's owner may open it with O_NOATIME.
    let leaves_traces = group.flags & libc::O_NOATIME == 0;
    sys::may_open(group.fd, mode).is_ok() && (leaves_traces || is_own(group.fd))
}

fn is_own(fd: i32) -> bool {
    sys::fstat(fd).is_ok_and(|stat| stat.owner.0 == sys::effective_ids().0)
}

/// A directory's read position has a meaning for its own descriptor alone.
fn is_at_start(fd: i32) -> bool {
    sys::lseek(fd, 0, libc::SEEK_CUR) == Ok(0)
}

/// The flags for the open; others are set afterwards.
fn flags_of(group: &Group) -> i32 {
    const GIVEN: i32 = libc::O_ACCMODE
        | libc::O_APPEND
        | libc::O_DIRECT
        | libc::O_NOATIME
        | libc::O_SYNC
        | libc::O_DSYNC;
    let directory = match group.kind {
        Kind::Directory => libc::O_DIRECTORY,
        _ => 0,
    };
    (group.flags & GIVEN) | libc::O_NOCTTY | directory
}

/// Opens the file of a group by the path of its lowest descriptor.
pub(super) fn open_file(group: &Group) -> Result<i32, Errno> {
    open_by(group.fd, group)
}

/// Opens the file of a group by a path descriptor.
pub(super) fn open_by(path: i32, group: &Group) -> Result<i32, Errno> {
    open_as_owner(path, flags_of(group))
}

/// A descriptor's path relative to `/proc/PID`, if it is below that.
fn name_in(pid: i32, fd: i32, buffer: &mut [u8; LINK_BYTES]) -> Option<Name> {
    let target =
        with_descriptor_path(fd, |path| sys::read_link_at(libc::AT_FDCWD, path, buffer)).ok()?;
    let mut digits = [0; 10];
    let rest = target
        .strip_prefix(b"/proc/")?
        .strip_prefix(procfs::decimal(pid.unsigned_abs(), &mut digits))?;
    let mut name = [0; size_of::<Name>()];
    // Another number may begin with this one.
    if !matches!(rest.first(), None | Some(b'/')) || rest.len() >= name.len() {
        return None;
    }
    name.get_mut(..rest.len())?.copy_from_slice(rest);
    Some(name)
}

/// The thread in `/task/TID/stat`, and the text after it.
fn task_in(name: &[u8]) -> Option<(i32, &[u8])> {
    let rest = name.strip_prefix(b"/task/")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (tid, rest) = rest.split_at_checked(digits)?;
    Some((core::str::from_utf8(tid).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn names_below_a_process() {
        assert_eq!(task_in(b"/task/12/stat"), Some((12, &b"/stat"[..])));
        assert_eq!(task_in(b"/maps"), None);
        let file = std::fs::File::open("/proc/self/maps").expect("/proc is mounted");
        let mut buffer = [0; LINK_BYTES];
        let name = name_in(sys::getpid(), file.as_raw_fd(), &mut buffer).expect("it is its own");
        assert!(name.starts_with(b"/maps\0"));
        let file = std::fs::File::open("/proc/meminfo").expect("/proc is mounted");
        assert!(name_in(sys::getpid(), file.as_raw_fd(), &mut buffer).is_none());
    }

    #[test]
    fn a_file_without_rights_or_a_name_is_opened_again() {
        use std::io::{Read, Seek, Write};
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

        let path = std::env::temp_dir().join(format!("reopened-{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .expect("the directory is writable");
        std::fs::remove_file(&path).expect("it is there");
        file.write_all(b"hello").expect("there is room");
        let mut open = Descriptors::of(&[file.as_raw_fd()]);
        open.can_be_reopened(0, true);
        open.let_go().expect("it is placed");
        assert_ne!(
            sys::status_flags(file.as_raw_fd()).expect("it is open") & libc::O_PATH,
            0
        );
        let group = open.groups()[0];
        with_descriptor_path(group.fd, |path| sys::set_mode(path, 0)).expect("it is ours");
        let fd = open_by(group.fd, &group).expect("it can be opened");
        open.install(&group, fd).expect("it is installed");
        assert_eq!(
            file.metadata().expect("it is open").permissions().mode() & 0o777,
            0
        );
        assert_ne!(
            sys::status_flags(file.as_raw_fd()).expect("it is open") & libc::O_APPEND,
            0
        );
        let mut text = String::new();
        file.rewind().expect("it is a file");
        file.read_to_string(&mut text).expect("it is a file");
        assert_eq!(text, "hello");
        open.release();
    }
}
