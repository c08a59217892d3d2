//! A file's content: kept before its first change, put back into the same inode.
//!
//! | file | kept as |
//! |---|---|
//! | only appended to | its size |
//! | up to 64 KiB | a part of the shelf's log |
//! | big and guarded | the units that are written to, in a file with holes on the shelf ([`super::blocks`]) |
//! | larger | a file on the shelf: shared blocks where the filesystem can, else a copy with the same holes |
//!
//! A revert writes only what differs: a big file with a few changes is read, not written.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::copying::{PIECE, clear, copy_bytes, next_data, write_differences};
use crate::journal::stat::Stat;
use crate::journal::store::{Place, Shelf, ShelfId, Span, Stores};
use crate::journal::sys;

/// Files up to this size go into the log.
const SMALL: u64 = 64 * 1024;

/// How much of a file may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// It is only appended to: its size is enough.
    Size,
    /// Any of its bytes.
    All,
}

/// What is kept of a file's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Nothing: it doesn't change.
    Unkept,
    /// Its size.
    Size(u64),
    /// All of it, in a log.
    Logged(Span),
    /// All of it, in a file.
    Copied { place: Place, size: u64 },
    /// What was about to be overwritten.
    Blocks(Blocks),
    /// It could not be read.
    Lost { why: String },
}

impl Content {
    /// Whether more of it must be kept for `want`.
    pub(super) fn is_less_than(&self, want: Want) -> bool {
        match self {
            Self::Unkept => true,
            Self::Size(_) => want == Want::All,
            Self::Blocks(blocks) => want == Want::All && !blocks.is_whole(),
            Self::Logged(_) | Self::Copied { .. } | Self::Lost { .. } => false,
        }
    }

    pub(super) fn shelf(&self) -> Option<ShelfId> {
        match self {
            Self::Logged(span) => Some(span.shelf),
            Self::Copied { place, .. } => Some(place.shelf),
            Self::Blocks(blocks) => Some(blocks.place.shelf),
            _ => None,
        }
    }

    /// The same as of an earlier time, when the file was shorter and the rest of it the same.
    pub(super) fn cut_to(&mut self, earlier: u64) {
        match self {
            Self::Logged(span) => span.length = earlier,
            Self::Copied { size, .. } | Self::Size(size) => *size = earlier,
            Self::Blocks(blocks) => blocks.cut_to(earlier),
            Self::Unkept | Self::Lost { .. } => {}
        }
    }

    /// The file's size; `None` if nothing is known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Unkept | Self::Lost { .. } => None,
            Self::Size(size) | Self::Copied { size, .. } => Some(*size),
            Self::Logged(span) => Some(span.length),
            Self::Blocks(blocks) => Some(blocks.size),
        }
    }

    /// Whether only parts of it are kept. The others are as they were later.
    pub(crate) const fn is_of_parts(&self) -> bool {
        matches!(self, Self::Blocks(_))
    }

    /// Reads the first bytes of what was kept. Of parts, the bytes between them stay.
    ///
    /// # Errors
    /// If they can't be read, or were not kept.
    pub(crate) fn read(&self, shelves: &[Shelf], bytes: &mut [u8]) -> io::Result<()> {
        let id = self.shelf().ok_or(io::ErrorKind::NotFound)?;
        let shelf = shelves.iter().find(|shelf| shelf.id() == id);
        let shelf = shelf.ok_or(io::ErrorKind::NotFound)?;
        match self {
            Self::Logged(span) => shelf.read(*span, bytes),
            Self::Copied { place, .. } => {
                let pin = sys::pin(shelf.dir(), OsStr::new(&place.name()))?;
                sys::reopen(pin.as_fd(), OFlag::O_RDONLY)?.read_exact_at(bytes, 0)
            }
            Self::Blocks(blocks) => blocks.read(shelf, bytes),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Bytes that it takes on the disk.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Logged(span) => span.length,
            Self::Copied { size, .. } => *size,
            Self::Blocks(blocks) => blocks.cost(),
            _ => 0,
        }
    }
}

/// Opens a file to keep its content. Its owner may have closed it against himself, and go on
/// writing to it: then it is open to him for a moment.
///
/// # Errors
/// If this user may not read it.
pub(super) fn open(pin: BorrowedFd<'_>) -> io::Result<File> {
    match sys::reopen_quietly(pin) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            let mode = Stat::of_fd(pin)?.mode & 0o7777;
            // The kernel may take this bit away.
            if mode & libc::S_ISGID != 0 || sys::set_mode(pin, mode | 0o400).is_err() {
                return Err(error);
            }
            let opened = sys::reopen_quietly(pin);
            sys::set_mode(pin, mode)?;
            opened
        }
        opened => opened,
    }
}

/// Keeps the first `size` bytes. A failed keep leaves nothing.
///
/// # Errors
/// If they can't be read or written: a full disk above all.
pub(super) fn keep(
    file: &File,
    size: u64,
    shelf: &mut Shelf,
    stores: &mut Stores,
) -> io::Result<Content> {
    if size <= SMALL {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        read_as_zeros_after_end(file, &mut bytes)?;
        return Ok(Content::Logged(shelf.append(&bytes)?));
    }
    let place = Place {
        shelf: shelf.id(),
        number: stores.next_number(),
    };
    let name = place.name();
    let copy = sys::create(shelf.dir(), OsStr::new(&name))?;
    if let Err(error) = copy_out(file, &copy, size, shelf, stores) {
        let _ = sys::unlink(shelf.dir(), OsStr::new(&name));
        return Err(error);
    }
    Ok(Content::Copied { place, size })
}

fn copy_out(
    file: &File,
    copy: &File,
    size: u64,
    shelf: &Shelf,
    stores: &mut Stores,
) -> io::Result<()> {
    if clone(file, copy, shelf, stores) {
        return Ok(());
    }
    copy.set_len(size)?;
    let mut at = 0;
    while let Some((data, hole)) = next_data(file, at, size) {
        copy_bytes(file, copy, data, hole)?;
        at = hole;
    }
    Ok(())
}

/// Whether `to` has come to share the blocks of `from`.
fn clone(from: &File, to: &File, shelf: &Shelf, stores: &mut Stores) -> bool {
    let store = stores.get_mut(shelf.store());
    if !store.may_clone() {
        return false;
    }
    match sys::clone_blocks(from, to) {
        Ok(()) => {
            store.learn_clones(true);
            true
        }
        // From another filesystem: that says nothing about this one.
        Err(Errno::EXDEV) => false,
        Err(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::EINVAL | Errno::ENOSYS) => {
            store.learn_clones(false);
            false
        }
        Err(_) => false,
    }
}

/// Reads as many bytes as there are; the rest stays zero.
fn read_as_zeros_after_end(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Opens a file to put its content back. Its owner may have locked it against himself.
pub(super) fn open_to_restore(pin: BorrowedFd<'_>, now: &Stat) -> io::Result<File> {
    match sys::reopen(pin, OFlag::O_RDWR) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            sys::set_mode(pin, now.mode & 0o7777 | 0o600)?;
            sys::reopen(pin, OFlag::O_RDWR)
        }
        other => other,
    }
}

/// Puts content back.
///
/// # Errors
/// If it can't be read or written, or was never kept.
pub(super) fn restore(
    content: &Content,
    file: &File,
    shelves: &[Shelf],
    stores: &mut Stores,
) -> io::Result<()> {
    let shelf = content
        .shelf()
        .and_then(|id| shelves.iter().find(|shelf| shelf.id() == id));
    let now = file.metadata()?.len();
    match (content, shelf) {
        (Content::Unkept, _) => Ok(()),
        (Content::Size(size), _) if now < *size => Err(io::Error::other("its end is gone")),
        (Content::Size(size), _) if now == *size => Ok(()),
        (Content::Size(size), _) => file.set_len(*size),
        (Content::Logged(span), Some(shelf)) => restore_small(*span, shelf, file, now),
        (Content::Copied { place, size }, Some(shelf)) => {
            let pin = sys::pin(shelf.dir(), OsStr::new(&place.name()))?;
            let kept = sys::reopen(pin.as_fd(), OFlag::O_RDONLY)?;
            if !clone(&kept, file, shelf, stores) {
                copy_back(&kept, file, *size)?;
            }
            file.set_len(*size)
        }
        (Content::Blocks(blocks), Some(shelf)) => blocks.restore(file, shelf),
        (Content::Logged(_) | Content::Copied { .. } | Content::Blocks(_), None) => {
            Err(io::ErrorKind::NotFound.into())
        }
        (Content::Lost { why }, _) => Err(io::Error::other(why.clone())),
    }
}

fn restore_small(span: Span, shelf: &Shelf, file: &File, now: u64) -> io::Result<()> {
    let mut kept = vec![0; usize::try_from(span.length).map_err(io::Error::other)?];
    shelf.read(span, &mut kept)?;
    let mut present = vec![0; kept.len()];
    let there = read_as_zeros_after_end(file, &mut present)?;
    if there < kept.len() || present != kept {
        file.write_all_at(&kept, 0)?;
    }
    if now > span.length {
        file.set_len(span.length)?;
    }
    Ok(())
}

fn copy_back(kept: &File, file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)?;
    let mut pieces = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < size {
        let (data, hole) = next_data(kept, at, size).unwrap_or((size, size));
        clear(file, at, data)?;
        write_differences(kept, file, data, hole, &mut pieces)?;
        at = hole;
    }
    Ok(())
}
