//! The descriptors of a process, as `/proc/PID/fd` and `/proc/PID/fdinfo` show them.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use nix::libc;
use snapshot_core::kernel::proc_text::{self, Lock};
use snapshot_core::terms::{Kind, is_stateless_device, may_be_message_queue};

use crate::processes::files::{self, numbers_in};

/// One descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) number: i32,
    /// The target of its link.
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    /// A device that has no state, as `/dev/null`.
    pub(super) is_stateless: bool,
    pub(super) access: Access,
    /// Its file's device and inode, if they can be seen.
    pub(super) file: Option<(u64, u64)>,
    /// Its file's length.
    pub(super) bytes: u64,
    pub(super) info: Info,
}

/// Which ends of a pipe it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) reads: bool,
    pub(super) writes: bool,
}

impl Access {
    /// From the mode of the link itself: how it was opened.
    pub(super) fn of_link(mode: u32) -> Self {
        Self {
            reads: mode & 0o400 != 0,
            writes: mode & 0o200 != 0,
        }
    }
}

/// The type of the file system that a link leads into.
pub(super) fn file_system(link: &str) -> Option<i64> {
    let system = nix::sys::statfs::statfs(link).ok()?;
    Some(system.filesystem_type().0)
}

/// Whether a link leads into the file system of POSIX's message queues.
fn is_message_queue(link: &str) -> bool {
    const MAGIC: i64 = 0x1980_0202;
    file_system(link) == Some(MAGIC)
}

/// What `fdinfo` adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Locks on the file, as `POSIX WRITE`.
    pub(super) locks: Vec<String>,
    /// How many files an inotify descriptor watches.
    pub(super) watches: usize,
    /// It is only a path (`O_PATH`).
    pub(super) is_path: bool,
    /// Descriptors wait in a local socket to be received.
    pub(super) carries_descriptors: bool,
}

/// Reads the lines of `fdinfo` that matter.
fn info(text: &[u8]) -> Info {
    let lines = || text.split(|&byte| byte == b'\n');
    Info {
        locks: lines()
            .filter_map(proc_text::lock)
            .map(|lock| describe(&lock))
            .collect(),
        watches: lines()
            .filter(|line| line.starts_with(b"inotify wd:"))
            .count(),
        is_path: proc_text::octal_field(text, "flags:")
            .is_some_and(|flags| flags & u64::from(libc::O_PATH.cast_unsigned()) != 0),
        carries_descriptors: proc_text::number(text, "scm_fds:").is_some_and(|count| count > 0),
    }
}

/// A lock in the kernel's own words.
fn describe(lock: &Lock) -> String {
    let kind = lock.kind.word();
    let access = if lock.is_exclusive { "WRITE" } else { "READ" };
    format!("{kind} {access}")
}

/// All descriptors of a process, in order.
///
/// # Errors
/// It is gone, or we may not look.
pub(super) fn of(pid: i32) -> io::Result<Vec<Descriptor>> {
    let mut numbers: Vec<i32> = numbers_in(&format!("/proc/{pid}/fd"))?.collect();
    numbers.sort_unstable();
    // Skip those closed meanwhile.
    Ok(numbers
        .into_iter()
        .filter_map(|number| descriptor(pid, number))
        .collect())
}

fn descriptor(pid: i32, number: i32) -> Option<Descriptor> {
    let link = format!("/proc/{pid}/fd/{number}");
    let target = fs::read_link(&link).ok()?.into_os_string().into_vec();
    let access = Access::of_link(fs::symlink_metadata(&link).ok()?.mode());
    let metadata = fs::metadata(&link).ok();
    let (mode, special) = metadata
        .as_ref()
        .map_or((0, 0), |metadata| (metadata.mode(), metadata.rdev()));
    let mut kind = Kind::of(&target, mode);
    if kind == Kind::File && may_be_message_queue(&target) && is_message_queue(&link) {
        kind = Kind::MessageQueue;
    }
    // Only for kinds that need it: the kernel writes a line for each watched file of an epoll
    // set, maybe thousands.
    let info = match kind {
        _ if !access.reads && !access.writes => read_info(pid, number),
        Kind::File | Kind::Directory | Kind::Inotify | Kind::Memfd | Kind::Socket => {
            read_info(pid, number)
        }
        _ => Info::default(),
    };
    Some(Descriptor {
        number,
        target,
        kind,
        is_stateless: is_stateless_device(mode, special),
        access,
        file: metadata
            .as_ref()
            .map(|metadata| (metadata.dev(), metadata.ino())),
        bytes: metadata.map_or(0, |metadata| metadata.len()),
        info,
    })
}

fn read_info(pid: i32, number: i32) -> Info {
    let text = files::bytes(format!("/proc/{pid}/fdinfo/{number}"));
    info(&text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn locks_and_watches_are_read() {
        let text = "pos:\t0\nflags:\t0100002\nmnt_id:\t29\n\
            lock:\t1: FLOCK  ADVISORY  WRITE 71 fe:00:12 0 EOF\n\
            lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:12 0 9\nlock:\t3\n\
            inotify wd:2 ino:7d sdev:800013 mask:800afce ignored_mask:0\ninotify wd:1 ino:1\n";
        let info = info(text.as_bytes());
        assert_eq!(info.locks, ["FLOCK WRITE", "OFDLCK READ"]);
        assert_eq!(info.watches, 2);
    }

    #[test]
    fn own_descriptors_are_found() {
        let own = std::process::id().cast_signed();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let number = |end: &dyn std::os::fd::AsRawFd| end.as_raw_fd();
        let all = of(own).expect("it is this process");
        let one = |number| {
            all.iter()
                .find(|one| one.number == number)
                .expect("it is open")
        };
        let (end, other) = (one(number(&reader)), one(number(&writer)));
        assert_eq!((end.kind, &end.target), (Kind::Pipe, &other.target));
        assert!(end.access.reads && !end.access.writes);
        assert!(other.access.writes && !other.access.reads);
        assert!(of(-1).is_err());
    }

    proptest! {
        #[test]
        fn noise_is_no_panic(noise: String) {
            let _ = info(noise.as_bytes());
            let _ = info(
                noise
                    .replace(' ', "\nlock: ")
                    .replace('a', "\ninotify wd:")
                    .as_bytes(),
            );
        }
    }
}
