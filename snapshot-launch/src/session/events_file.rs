//! Opens the file of `--events`, and refuses unsafe ones.
//!
//! The person names it, so any file, pipe or terminal is fine. A new file is for its owner
//! alone; an existing one keeps its mode. It follows no link of another user: in a shared
//! directory such a link could make this process overwrite a file of its own user.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::readlinkat;
use nix::libc;
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::unistd::geteuid;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// An events file that can be written to, now or later.
#[derive(Debug)]
pub(crate) struct EventsFile {
    /// `None` for a FIFO without a reader.
    pub(super) file: Option<File>,
    /// The name that the person gave.
    pub(super) name: PathBuf,
    /// Its path, with links followed.
    path: PathBuf,
    /// Whether it is a regular file: it never waits for room, but has it or fails.
    pub(super) is_regular: bool,
}

impl EventsFile {
    /// Opens it, empty. Never waits.
    ///
    /// # Errors
    /// The kernel's; `PermissionDenied` for another user's link; `InvalidInput` for a socket.
    pub(crate) fn open(name: &Path) -> io::Result<Self> {
        let mut path = name.to_owned();
        for _ in 0..MOST_LINKS {
            match open(&path) {
                Ok(file) => return Self::of(Some(file), name, path),
                Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                    path = follow(&path)?;
                }
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                    return Self::without_reader(name, path, error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::ELOOP))
    }

    fn of(file: Option<File>, name: &Path, path: PathBuf) -> io::Result<Self> {
        let is_regular = match &file {
            Some(file) => file.metadata()?.is_file(),
            None => false,
        };
        if let Some(file) = file.as_ref().filter(|_| is_regular) {
            file.set_len(0)?;
        }
        Ok(Self {
            file,
            name: name.to_owned(),
            path,
            is_regular,
        })
    }

    /// ENXIO: it may be a FIFO, which is opened again once it has a reader.
    fn without_reader(name: &Path, path: PathBuf, error: io::Error) -> io::Result<Self> {
        let kind = fs::metadata(&path)?.file_type();
        if kind.is_fifo() {
            return Self::of(None, name, path);
        }
        if kind.is_socket() {
            let what = "it is a socket, which can't be opened";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Err(error)
    }

    /// Whether the FIFO has a reader by now.
    pub(super) fn has_reader(&mut self) -> bool {
        if self.file.is_none() {
            let is_fifo =
                |file: &File| file.metadata().is_ok_and(|data| data.file_type().is_fifo());
            self.file = open(&self.path).ok().filter(is_fifo);
        }
        self.file.is_some()
    }
}

fn open(path: &Path) -> io::Result<File> {
    // The kernel's own links to open files (`/dev/fd/3`) lead only to those.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let is_of_proc = statfs(parent.unwrap_or(Path::new(".")))
        .is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC);
    let links = if is_of_proc { 0 } else { libc::O_NOFOLLOW };
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(links | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// The target of a link of the user's own, or of root's.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let link: OwnedFd = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)?
        .into();
    let owner = File::from(link.try_clone()?).metadata()?.uid();
    if owner != geteuid().as_raw() && owner != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is a link of another user's (uid {owner})",
                path.display()
            ),
        ));
    }
    let target = readlinkat(&link, "")?;
    Ok(path.parent().unwrap_or(Path::new("/")).join(target))
}
