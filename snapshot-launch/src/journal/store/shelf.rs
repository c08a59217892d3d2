//! A *shelf*: what one level keeps in one store, a directory of its own. So a level is
//! forgotten by a single rename, however much it has kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::place::{StoreId, directory};
use crate::journal::sys;

/// A shelf's number, never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ShelfId(pub(super) u64);

impl ShelfId {
    pub(crate) fn name(self) -> String {
        format!("shelf-{}", self.0)
    }
}

/// Something on a shelf: an old object, or a pre-image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) shelf: ShelfId,
    pub(crate) number: u64,
}

impl Place {
    /// Its name on the shelf.
    pub(crate) fn name(self) -> String {
        self.number.to_string()
    }
}

/// A part of a shelf's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) shelf: ShelfId,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The log of small pre-images.
const LOG: &str = "log";

/// One of them.
#[derive(Debug)]
pub(crate) struct Shelf {
    id: ShelfId,
    store: StoreId,
    dir: OwnedFd,
    log: Option<File>,
    log_length: u64,
}

impl Shelf {
    /// Makes one, or opens one that exists.
    pub(super) fn open(id: ShelfId, store: StoreId, root: BorrowedFd<'_>) -> io::Result<Self> {
        let dir = directory(root, &id.name())?;
        let log = match sys::pin(dir.as_fd(), OsStr::new(LOG)) {
            Ok(pin) => Some(sys::reopen(pin.as_fd(), OFlag::O_RDWR)?),
            Err(_) => None,
        };
        let log_length = log
            .as_ref()
            .map_or(Ok(0), |log| log.metadata().map(|data| data.len()))?;
        Ok(Self {
            id,
            store,
            dir,
            log,
            log_length,
        })
    }

    pub(crate) fn id(&self) -> ShelfId {
        self.id
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Writes a small pre-image to the log. A failed one leaves nothing.
    ///
    /// # Errors
    /// If the bytes can't be written: a full disk above all.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<Span> {
        let log = match self.log.take() {
            Some(log) => log,
            None => sys::create(self.dir.as_fd(), OsStr::new(LOG))?,
        };
        let written = log.write_all_at(bytes, self.log_length);
        let log = self.log.insert(log);
        if let Err(error) = written {
            let _ = log.set_len(self.log_length);
            return Err(error);
        }
        let (offset, length) = (self.log_length, bytes.len() as u64);
        self.log_length += length;
        Ok(Span {
            shelf: self.id,
            offset,
            length,
        })
    }

    /// Reads it back into `bytes`, which has its length.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) fn read(&self, span: Span, bytes: &mut [u8]) -> io::Result<()> {
        match &self.log {
            Some(log) => log.read_exact_at(bytes, span.offset),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
