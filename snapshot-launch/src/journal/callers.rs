//! Who calls: with which rights, from which root, with which umask. Read once a thread and kept
//! until a call changes it, since `/proc` is slow.
//!
//! The table holds each thread's directory in `/proc`, whose entries vanish when the thread
//! ends. So a number that the kernel has given to another thread is noticed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};

use super::credentials::{Credentials, Wardrobe, field};
use super::stat::{FileId, Stat};
use super::sys;

/// The table is emptied when it has this many threads.
const MOST: usize = 1024;

/// How a caller's rights compare with the journal's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Same,
    /// The journal takes them on for the call.
    Other(Credentials),
    /// They can't be taken on: the kernel carries out the call itself.
    Apart(Apart),
}

/// Why a caller's rights can't be taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// It is in another user namespace.
    UserNamespace,
    /// It has other rights, which the journal can't take on.
    Rights,
    /// A security module confines it.
    Label,
    /// It has restricted itself with Landlock, or its parent may have.
    Landlock,
}

/// One thread of the session.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its process.
    pub(super) tgid: i32,
    /// Its directory in `/proc`.
    proc: OwnedFd,
    credentials: Credentials,
    pub(super) standing: Standing,
    pub(super) umask: Mode,
    /// Its root directory if that is not the journal's.
    pub(super) root: Option<OwnedFd>,
}

impl Caller {
    /// Its working directory.
    ///
    /// # Errors
    /// ENOENT if the thread is gone.
    pub(super) fn working_directory(&self) -> Result<OwnedFd, Errno> {
        openat(
            &self.proc,
            "cwd",
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    }

    /// The file behind one of its descriptors.
    ///
    /// # Errors
    /// EBADF if it has no such descriptor.
    pub(super) fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        let name = format!("fd/{number}");
        let opened = openat(
            &self.proc,
            name.as_str(),
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        opened.map_err(|errno| match errno {
            Errno::ENOENT => Errno::EBADF,
            other => other,
        })
    }

    /// The flags with which it has a file open, as in open(2).
    pub(super) fn descriptor_flags(&self, number: i32) -> Option<i32> {
        let text = self.text(&format!("fdinfo/{number}")).ok()?;
        i32::from_str_radix(field(&text, "flags:")?, 8).ok()
    }

    /// Its directory in `/proc`, for `/proc/self`.
    ///
    /// # Errors
    /// ENOENT if the thread is gone.
    pub(super) fn directory(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.proc, ".", flags, Mode::empty())
    }

    /// The user that the kernel compares with a file's.
    pub(super) fn user(&self) -> u32 {
        self.credentials.user()
    }

    /// Whether it may do with all files what their owners may.
    pub(super) fn owns_all_files(&self) -> bool {
        self.credentials.owns_all_files()
    }

    /// Whether it may unmount filesystems of the mount namespace that it is in.
    pub(super) fn may_unmount(&self) -> bool {
        self.credentials.administers() && self.owns_its_mounts()
    }

    /// Its capabilities count for mounts that belong to its user namespace.
    fn owns_its_mounts(&self) -> bool {
        let owner = openat(
            &self.proc,
            "ns/mnt",
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .and_then(|mounts| sys::owner_of_namespace(mounts.as_fd()));
        let user = fstatat(&self.proc, "ns/user", AtFlags::empty());
        let owner = owner.and_then(nix::sys::stat::fstat);
        matches!((owner, user), (Ok(owner), Ok(user)) if owner.st_ino == user.st_ino)
    }

    /// Whether the kernel sends it a signal for a file that grows too large.
    pub(super) fn limits_file_size(&self) -> bool {
        let limits = self.text("limits").unwrap_or_default();
        let limit = field(&limits, "Max file size");
        !limit.is_some_and(|limit| limit.starts_with("unlimited"))
    }

    fn text(&self, name: &str) -> io::Result<String> {
        text(self.proc.as_fd(), name)
    }

    fn is_there(&self) -> bool {
        fstatat(&self.proc, "root", AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }
}

/// All threads that have called.
#[derive(Debug)]
pub(super) struct Callers {
    known: HashMap<i32, Caller>,
    /// Processes in which a call is under way that changes what is kept here, and its thread:
    /// until that thread speaks again, nothing is kept of the process.
    unsettled: HashMap<i32, i32>,
    own_root: (FileId, u64),
    own_user_namespace: u64,
    own_label: Option<String>,
    /// A thread has restricted itself with Landlock: those that come may be its children.
    has_landlock: bool,
}

impl Callers {
    /// # Errors
    /// If `/proc` can't be read.
    pub(super) fn open() -> io::Result<Self> {
        let own = proc_of("self")?;
        let root = openat(
            &own,
            "root",
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            known: HashMap::new(),
            unsettled: HashMap::new(),
            own_root: place(&Stat::of_fd(root.as_fd())?),
            own_user_namespace: user_namespace(own.as_fd())?,
            own_label: label(own.as_fd()),
            has_landlock: false,
        })
    }

    /// The thread that calls.
    ///
    /// # Errors
    /// If `/proc` tells nothing of it: it may have ended.
    pub(super) fn get(&mut self, tid: i32, wardrobe: &Wardrobe) -> io::Result<&Caller> {
        self.unsettled.retain(|_, by| *by != tid);
        let is_known = (self.known.get(&tid))
            .is_some_and(|caller| !self.unsettled.contains_key(&caller.tgid) && caller.is_there());
        if !is_known {
            if self.known.len() >= MOST {
                self.known.clear();
            }
            let caller = match self.read(tid, wardrobe) {
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                    self.known.clear();
                    self.read(tid, wardrobe)?
                }
                read => read?,
            };
            self.known.insert(tid, caller);
        }
        self.known
            .get(&tid)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    fn read(&self, tid: i32, wardrobe: &Wardrobe) -> io::Result<Caller> {
        let proc = proc_of(&tid.to_string())?;
        let status = text(proc.as_fd(), "status")?;
        let odd = || io::Error::other("a status lacks its fields");
        let credentials = Credentials::of_status(&status).ok_or_else(odd)?;
        let number = |name| field(&status, name);
        let tgid = number("Tgid:").and_then(|tgid| tgid.parse().ok());
        let umask = number("Umask:").and_then(|umask| u32::from_str_radix(umask, 8).ok());
        let root = openat(
            &proc,
            "root",
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        let has_own_root = place(&Stat::of_fd(root.as_fd())?) == self.own_root;
        let standing = if user_namespace(proc.as_fd())? != self.own_user_namespace {
            Standing::Apart(Apart::UserNamespace)
        } else if label(proc.as_fd()) != self.own_label {
            Standing::Apart(Apart::Label)
        } else if self.has_landlock {
            Standing::Apart(Apart::Landlock)
        } else if wardrobe.is_own(&credentials) {
            Standing::Same
        } else if wardrobe.has(&credentials) {
            Standing::Other(credentials.clone())
        } else {
            Standing::Apart(Apart::Rights)
        };
        Ok(Caller {
            tgid: tgid.ok_or_else(odd)?,
            proc,
            credentials,
            standing,
            umask: Mode::from_bits_truncate(umask.ok_or_else(odd)?),
            root: (!has_own_root).then_some(root),
        })
    }

    /// A thread is about to change its rights, its root or its umask; other threads of its
    /// process may share them.
    pub(super) fn is_changing(&mut self, tid: i32) {
        let Some(tgid) = self.known.remove(&tid).map(|caller| caller.tgid) else {
            return;
        };
        self.known.retain(|_, caller| caller.tgid != tgid);
        self.unsettled.insert(tgid, tid);
    }

    /// A thread is about to restrict itself with Landlock, which nothing shows afterwards.
    /// Everybody that comes from here on may be its child.
    pub(super) fn restricts_itself(&mut self, tid: i32) {
        self.is_changing(tid);
        self.has_landlock = true;
    }

    /// Whether the program has restricted itself before the first take.
    pub(super) fn had_landlock(&mut self) {
        self.has_landlock = true;
        self.known.clear();
    }

    /// Everything may have changed: roots move.
    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }
}

/// An object as it is reached through one mount.
pub(super) fn place(stat: &Stat) -> (FileId, u64) {
    (stat.id, stat.mount)
}

fn proc_of(name: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/{name}");
    Ok(open(
        path.as_str(),
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)
}

fn text(proc: BorrowedFd<'_>, name: &str) -> io::Result<String> {
    let file = openat(
        proc,
        name,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut bytes = Vec::with_capacity(2048);
    File::from(file).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn user_namespace(proc: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(fstatat(proc, "ns/user", AtFlags::empty())?.st_ino)
}

/// How a security module confines it; `None` without such a module.
fn label(proc: BorrowedFd<'_>) -> Option<String> {
    text(proc, "attr/current").ok()
}
