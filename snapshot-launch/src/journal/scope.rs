//! Which files come back: all that the program may write, but what the kernel makes up, what
//! the program was given as output, and what lies outside of the trees that the user has named.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::fstatfs;

use super::by_descriptor::path_now;
use super::news::News;
use super::stat::{FileId, Stat};

/// The kernel's own filesystems: nothing there is a file.
const MADE_UP: &[i64] = &[
    libc::PROC_SUPER_MAGIC,
    libc::SYSFS_MAGIC,
    libc::CGROUP_SUPER_MAGIC,
    libc::CGROUP2_SUPER_MAGIC,
    libc::DEVPTS_SUPER_MAGIC,
    libc::DEBUGFS_MAGIC,
    libc::TRACEFS_MAGIC,
    libc::SECURITYFS_MAGIC,
    libc::SELINUX_MAGIC,
    libc::BPF_FS_MAGIC,
    libc::NSFS_MAGIC,
    libc::RDTGROUP_SUPER_MAGIC,
    libc::HUGETLBFS_MAGIC,
    // Pipes, sockets, what has no name, configfs, mqueue, pstore, binfmt_misc, efivarfs.
    0x5049_5045,
    0x534f_434b,
    0x0904_1934,
    0x6265_6570,
    0x1980_0202,
    0x6165_676c,
    0x4249_4e4d,
    0xde5e_81e4,
];

/// Filesystems of other machines or processes: what they say now may not hold a moment later,
/// and they may let everybody wait.
const REMOTE: &[i64] = &[
    libc::NFS_SUPER_MAGIC,
    libc::SMB_SUPER_MAGIC,
    libc::FUSE_SUPER_MAGIC,
    libc::CODA_SUPER_MAGIC,
    libc::AFS_SUPER_MAGIC,
    libc::NCP_SUPER_MAGIC,
    // cifs, smb2, 9p, ceph.
    0xff53_4d42,
    0xfe53_4d42,
    0x0102_1997,
    0x00c3_6400,
];

/// A filesystem, by what can be done for its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filesystem {
    Plain,
    MadeUp,
    Remote,
}

/// What the user wants to come back.
#[derive(Debug, Clone)]
pub(crate) enum Trees {
    All,
    Only(Vec<PathBuf>),
}

#[derive(Debug)]
pub(super) struct Scope {
    trees: Trees,
    /// Files that the program was started with.
    outputs: Vec<FileId>,
    filesystems: HashMap<u64, Filesystem>,
    /// The filesystem of `/dev`, if it is one of its own.
    devices: Option<u64>,
}

impl Scope {
    /// # Errors
    /// If the root can't be looked at.
    pub(super) fn new(trees: Trees, outputs: Vec<FileId>) -> io::Result<Self> {
        let device_of = |path| nix::sys::stat::stat(path).map(|stat| stat.st_dev);
        let root = device_of("/")?;
        let devices = device_of("/dev").ok();
        Ok(Self {
            trees,
            outputs,
            // Memory files are the program's memory, and so the frozen copies'.
            filesystems: HashMap::from([(of_memory()?, Filesystem::MadeUp)]),
            devices: devices.filter(|dev| *dev != root),
        })
    }

    /// Whether a revert brings this object back, or the entries of this directory.
    ///
    /// # Errors
    /// If nothing can be learnt of it.
    pub(super) fn covers(
        &mut self,
        fd: BorrowedFd<'_>,
        stat: &Stat,
        news: &mut News,
    ) -> Result<bool, Errno> {
        let device = stat.id.dev;
        let filesystem = match self.filesystems.get(&device) {
            Some(known) => *known,
            None => {
                let found = self.look(fd, device)?;
                self.filesystems.insert(device, found);
                found
            }
        };
        match filesystem {
            Filesystem::MadeUp => return Ok(false),
            Filesystem::Remote => {
                news.is_remote(fd);
                return Ok(false);
            }
            Filesystem::Plain => {}
        }
        Ok(!self.outputs.contains(&stat.id) && self.is_in_trees(fd)?)
    }

    /// The number of this device may come to stand for another one.
    pub(super) fn forget(&mut self, device: u64) {
        if self.filesystems.get(&device) == Some(&Filesystem::Plain) {
            self.filesystems.remove(&device);
        }
    }

    fn look(&self, fd: BorrowedFd<'_>, device: u64) -> Result<Filesystem, Errno> {
        let kind = fstatfs(fd)?.filesystem_type().0;
        Ok(if self.devices == Some(device) || MADE_UP.contains(&kind) {
            Filesystem::MadeUp
        } else if REMOTE.contains(&kind) {
            Filesystem::Remote
        } else {
            Filesystem::Plain
        })
    }

    fn is_in_trees(&self, fd: BorrowedFd<'_>) -> Result<bool, Errno> {
        match &self.trees {
            Trees::All => Ok(true),
            Trees::Only(trees) => {
                let path = path_now(fd)?;
                Ok(trees.iter().any(|tree| path.starts_with(tree)))
            }
        }
    }
}

/// The kernel's own filesystem, for memory that has a descriptor or is shared.
fn of_memory() -> io::Result<u64> {
    let file = memfd_create(c"cargo-snapshot-journal", MFdFlags::MFD_CLOEXEC)?;
    Ok(nix::sys::stat::fstat(&file)?.st_dev)
}
