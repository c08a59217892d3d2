//! Directories that their owner has closed to himself, and that the journal must read or move
//! nevertheless: they are opened for a moment.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::stat::Stat;
use super::sys;

/// Renames, never over something.
///
/// # Errors
/// As the kernel says.
pub(super) fn move_to(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    moving(dir, name, || sys::move_to(dir, name, to, new))
}

/// Moves what is under this name by `move_it`. The kernel writes a new `..` into a directory, so
/// that must be open.
///
/// # Errors
/// As above.
pub(super) fn moving(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    move_it: impl Fn() -> io::Result<()>,
) -> io::Result<()> {
    match move_it() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let pin = sys::pin(dir, name)?;
            let stat = Stat::of_fd(pin.as_fd())?;
            reopened(pin.as_fd(), &stat, error, move_it)
        }
        moved => moved,
    }
}

/// Does something with a directory that must be open. `stat` is what it is like.
///
/// # Errors
/// As above.
pub(super) fn in_open<T>(
    pin: BorrowedFd<'_>,
    stat: &Stat,
    act: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            reopened(pin, stat, error, act)
        }
        done => done,
    }
}

/// Whether this is a directory of the journal's user, which he may not read, write and search.
pub(super) fn is_closed(stat: &Stat) -> bool {
    let is_own = stat.uid == nix::unistd::geteuid().as_raw();
    stat.is_directory() && is_own && stat.mode & 0o700 != 0o700
}

/// Opens a directory to its owner.
///
/// # Errors
/// As above.
pub(super) fn open(pin: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    sys::set_mode(pin, stat.mode & 0o7777 | 0o700)
}

/// The same once more, if the directory's mode can have been why it was refused.
fn reopened<T>(
    pin: BorrowedFd<'_>,
    stat: &Stat,
    refused: io::Error,
    act: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    if !is_closed(stat) {
        return Err(refused);
    }
    open(pin, stat)?;
    let done = act();
    sys::set_mode(pin, stat.mode & 0o7777)?;
    done
}
