//! The launcher's outputs, which never wait for a reader.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::write;

/// Bytes on their way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    fd: OwnedFd,
    queue: VecDeque<u8>,
    /// The most to write at once to a descriptor that can't be made non-blocking: what a
    /// writable pipe takes without waiting.
    step: usize,
    ends_line: bool,
}

/// What a writable pipe takes at once (PIPE_BUF).
const PIPE_STEP: usize = 4096;

impl Outlet {
    /// To a terminal, opened anew: the shell shares the old description, and must not find it
    /// non-blocking.
    pub(crate) fn to_terminal(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&terminal)
        );
        let anew = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        match anew {
            Ok(file) => Ok(Self::new(file.into(), usize::MAX)),
            // A terminal that can't be opened again is written to in small steps.
            Err(_) => Self::to_shared(terminal),
        }
    }

    /// To a descriptor that other processes use too.
    pub(crate) fn to_shared(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::new(fd.try_clone_to_owned()?, PIPE_STEP))
    }

    /// To a descriptor of our own that is non-blocking already.
    pub(crate) fn to_own(fd: OwnedFd) -> Self {
        Self::new(fd, usize::MAX)
    }

    fn new(fd: OwnedFd, step: usize) -> Self {
        Self {
            fd,
            queue: VecDeque::new(),
            step,
            ends_line: true,
        }
    }

    /// Queues bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            self.ends_line = last == b'\n';
            self.queue.extend(bytes);
        }
    }

    /// Whether the last queued bytes end a line.
    pub(crate) fn ends_line(&self) -> bool {
        self.ends_line
    }

    /// Whether there is anything to write.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Drops what waits: its reader is gone.
    pub(crate) fn give_up(&mut self) {
        self.queue.clear();
    }

    /// Writes what can be written now. Call it when the descriptor is writable.
    pub(crate) fn write(&mut self) {
        while !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            let bytes = &front[..front.len().min(self.step)];
            match write(&self.fd, bytes) {
                Ok(written) => {
                    self.queue.drain(..written);
                    if self.step != usize::MAX {
                        // More only after the next poll.
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => self.give_up(),
            }
        }
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads a ready descriptor; `None` at its end.
pub(crate) fn read_ready(mut source: &File) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 16 * 1024];
    match source.read(&mut bytes) {
        Ok(0) => None,
        Ok(length) => {
            bytes.truncate(length);
            Some(bytes)
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Some(Vec::new())
        }
        Err(_) => None,
    }
}
