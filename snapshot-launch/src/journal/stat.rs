//! What an object of a filesystem is at one moment, by a single question to the kernel.
//!
//! The kernel tells objects apart by device and inode number, and gives a number again after
//! its object is gone. The birth time tells the two apart, on filesystems that have one.
//! Context: the journal, and whoever finishes a revert that was cut.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use nix::libc;
use serde::{Deserialize, Serialize};

use super::sys;
pub(crate) use super::sys::Timestamp;

/// An object's identity while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FileId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

/// What kind of object an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
}

impl Kind {
    /// The kind in these mode bits. A kind that this list doesn't have counts as a file.
    fn of_mode(mode: u32) -> Self {
        match mode & libc::S_IFMT {
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR => Self::CharacterDevice,
            libc::S_IFBLK => Self::BlockDevice,
            _ => Self::File,
        }
    }
}

/// The answer of `statx`, as far as the journal needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    /// With the bits for the kind.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) nlink: u32,
    /// The device that a device node stands for.
    pub(crate) rdev: u64,
    pub(crate) accessed: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) changed: Timestamp,
    /// Not every filesystem writes it down.
    pub(crate) born: Option<Timestamp>,
    /// The mount through which it was reached: links and renames stay inside one.
    pub(crate) mount: u64,
    /// `STATX_ATTR_*`.
    pub(crate) attributes: u64,
}

impl Stat {
    /// The object under `name` in `dir`, or `None` if there is no such name. A symbolic link is
    /// not followed.
    ///
    /// # Errors
    /// If the kernel gives no answer; a directory that may not be searched is such an error.
    pub(crate) fn of(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Self>> {
        match sys::statx(dir, name) {
            Ok(raw) => Ok(Some(Self::from_raw(&raw))),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object that a descriptor is open on. An `O_PATH` descriptor serves.
    ///
    /// # Errors
    /// If the kernel gives no answer.
    pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::from_raw(&sys::statx(fd, OsStr::new(""))?))
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether it is the top of what is mounted there.
    pub(crate) fn is_mount_root(&self) -> bool {
        self.attributes & u64::from(libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned()) != 0
    }

    fn from_raw(raw: &libc::statx) -> Self {
        let device = |major, minor| nix::sys::stat::makedev(u64::from(major), u64::from(minor));
        let time = |time: libc::statx_timestamp| Timestamp {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        let mode = u32::from(raw.stx_mode);
        Self {
            id: FileId {
                dev: device(raw.stx_dev_major, raw.stx_dev_minor),
                ino: raw.stx_ino,
            },
            kind: Kind::of_mode(mode),
            mode,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            nlink: raw.stx_nlink,
            rdev: device(raw.stx_rdev_major, raw.stx_rdev_minor),
            accessed: time(raw.stx_atime),
            modified: time(raw.stx_mtime),
            changed: time(raw.stx_ctime),
            born: (raw.stx_mask & libc::STATX_BTIME != 0).then(|| time(raw.stx_btime)),
            mount: raw.stx_mnt_id,
            attributes: raw.stx_attributes,
        }
    }
}
