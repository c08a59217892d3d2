//! A directory of sockets that only its user can enter, and how sockets are made and removed in
//! it.
//!
//! A name in it always has a listener: a socket is made under another name and renamed when it
//! listens, never over an existing one. To remove a name, a process holds the directory's lock,
//! and has found that nobody listens, or that the socket is its own.
//!
//! Context: TOOL, in launcher, supervisor and second terminal.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, RenameFlags, renameat2};
use nix::libc;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::sys::time::TimeVal;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use serde::{Deserialize, Serialize};
use snapshot_core::sys::now_ns;

/// The longest path that fits into a socket's address, with its final NUL.
const LONGEST_PATH: usize = 107;

/// How long it may take to make a socket.
const BEING_MADE: Duration = Duration::from_secs(60);

/// How long to wait for a directory's lock.
pub(super) const LOCK: Duration = Duration::from_secs(1);

/// How many launchers may have the same number.
const NAMESAKES: usize = 100;

/// A directory that only this user can enter.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: File,
    pub(super) path: PathBuf,
}

impl Directory {
    /// Opens an existing one.
    ///
    /// # Errors
    /// The kernel's; `PermissionDenied` if another user owns it, or may enter it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(path)?;
        let found = fd.metadata()?;
        if found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is not a directory that only you can enter",
            ));
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    pub(super) fn make(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Self::open(path),
        }
    }

    /// The path of an entry, short enough for an address.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        if path.as_os_str().len() <= LONGEST_PATH {
            return path;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn lock(&self, patience: Duration) -> Option<Flock<File>> {
        let until = Instant::now() + patience;
        // Its own open file description, since a lock belongs to one.
        let mut file = File::open(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).ok()?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Some(lock),
                Err((back, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < until => file = back,
                Err(_) => return None,
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Device, inode and creation time of the socket with that name, if it is one.
    fn socket_of(&self, name: &str) -> Option<(u64, u64, i64)> {
        let found = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        let is_socket = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
        is_socket.then_some((found.st_dev, found.st_ino, found.st_ctime))
    }

    fn remove(&self, name: &str) {
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir);
    }

    /// Removes what killed sessions have left: sockets without a listener.
    /// `dead` is a launcher that ended while it made its socket, so that nothing is to wait for.
    pub(super) fn sweep(&self, dead: Option<i32>) {
        let Some(_lock) = self.lock(Duration::ZERO) else {
            // Another process does it.
            return;
        };
        for name in self.names() {
            let is_dead = match self.socket_of(&name) {
                Some((.., made)) if name.ends_with(".new") => {
                    let is_of_dead = dead.is_some() && maker_of(&name) == dead;
                    (is_of_dead || is_old(made)) && self.is_deaf(&name)
                }
                Some(_) => number_of(&name).is_some() && self.is_deaf(&name),
                None => false,
            };
            if is_dead {
                self.remove(&name);
            }
        }
    }

    fn is_deaf(&self, name: &str) -> bool {
        let knocked = knock(&self.path_of(name), Duration::ZERO);
        knocked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Makes the socket of this launcher.
    pub(super) fn bind(&self, pid: i32) -> io::Result<(UnixListener, Place)> {
        let temporary = being_made(pid);
        let listener = UnixListener::bind(self.path_of(&temporary))?;
        let named = self.name_it(&temporary, pid);
        if named.is_err() {
            self.remove(&temporary);
        }
        Ok((listener, named?))
    }

    fn name_it(&self, temporary: &str, pid: i32) -> io::Result<Place> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        fchmodat(&self.fd, temporary, mode, FchmodatFlags::FollowSymlink)?;
        let (device, inode, _) = self
            .socket_of(temporary)
            .ok_or(io::Error::from_raw_os_error(libc::ENOENT))?;
        // Another launcher may have the same number: in another container, say.
        let names = (1..).map(|number| match number {
            1 => format!("{pid}.sock"),
            _ => format!("{pid}.{number}.sock"),
        });
        for name in names.take(NAMESAKES) {
            match self.rename(temporary, &name) {
                Ok(()) => {
                    return Ok(Place {
                        directory: self.path.clone(),
                        name,
                        device,
                        inode,
                    });
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }

    /// Renames an entry, unless the new name exists.
    fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        let unique = RenameFlags::RENAME_NOREPLACE;
        match renameat2(&self.fd, from, &self.fd, to, unique) {
            // The file system can't promise that.
            Err(Errno::EINVAL | Errno::ENOSYS) if self.socket_of(to).is_none() => {
                renameat2(&self.fd, from, &self.fd, to, RenameFlags::empty())
            }
            outcome => outcome,
        }
    }
}

/// Whether a time of the file system's is longer ago than it takes to make a socket.
fn is_old(seconds: i64) -> bool {
    let made = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + made);
    age.is_ok_and(|age| age > BEING_MADE)
}

/// The launcher's number in a socket's name: `7.sock`, `7.2.sock`.
pub(super) fn number_of(name: &str) -> Option<i32> {
    name.strip_suffix(".sock")?.split('.').next()?.parse().ok()
}

/// The name of a socket that this launcher is making.
fn being_made(pid: i32) -> String {
    format!(".{pid}-{}.new", now_ns())
}

/// The launcher's number in the name of a socket that is being made: `.7-1234.new`.
pub(super) fn maker_of(name: &str) -> Option<i32> {
    let (pid, _) = name
        .strip_prefix('.')?
        .strip_suffix(".new")?
        .split_once('-')?;
    pid.parse().ok()
}

/// Connects; `WouldBlock` if the listener does not answer in time.
pub(super) fn knock(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let flags = if patience.is_zero() {
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK
    } else {
        SockFlag::SOCK_CLOEXEC
    };
    let made = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let microseconds = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let limit = TimeVal::new(microseconds / 1_000_000, microseconds % 1_000_000);
    setsockopt(&made, sockopt::SendTimeout, &limit)?;
    connect(made.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(made.into())
}

/// The place and identity of a session's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    directory: PathBuf,
    name: String,
    device: u64,
    inode: u64,
}

impl Place {
    /// Removes it, if it is still the same one, and the directory if it is empty then.
    pub(crate) fn remove(&self) {
        let Ok(directory) = Directory::open(&self.directory) else {
            return;
        };
        let lock = directory.lock(LOCK);
        let found = directory.socket_of(&self.name);
        if found.is_some_and(|(device, inode, _)| (device, inode) == (self.device, self.inode)) {
            directory.remove(&self.name);
        }
        drop(lock);
        // Fails if another session's socket is in it, as intended.
        let _ = fs::remove_dir(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_being_made_goes_with_its_launcher_alone() {
        let path = std::env::temp_dir().join(format!("doors-{}-{}", std::process::id(), now_ns()));
        let directory = Directory::make(&path).expect("it can be made");
        let names = [being_made(7), being_made(8)];
        for name in &names {
            drop(UnixListener::bind(directory.path_of(name)).expect("it can be made"));
        }
        directory.sweep(None);
        assert_eq!(directory.names().len(), 2, "both may be made yet");
        directory.sweep(Some(7));
        assert_eq!(directory.names(), names[1..]);
        fs::remove_dir_all(&path).expect("it is ours");
    }
}
