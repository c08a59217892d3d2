//! What the live branch has closed although somebody waited for its end: the copy has let
//! go of it, so that the end could come, and has something in its place when it comes back
//! to life. A pipe is opened again, if its other end is still there; in place of a
//! connection there is one that the other side has closed, which is how it is.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, Fate, Group, with_descriptor_path};
use super::held::{self, Closed};
use super::kinds::Kind;
use crate::records::Records;
use crate::sys::{self, Errno};

#[derive(Clone, Copy)]
struct Lost {
    group: usize,
    /// A descriptor of a pipe's inode alone.
    inode_fd: Option<i32>,
}

/// What a copy has let go of while it was frozen.
pub(super) struct Losses(Records<Lost>);

fn is_held(group: &Group) -> bool {
    group.is_waited_for && group.fate == Fate::Shared
}

impl Losses {
    pub(super) const fn new() -> Self {
        Self(Records::growing())
    }

    /// Marks what this copy holds.
    pub(super) fn mark(open: &Descriptors) {
        for group in open.groups() {
            if is_held(group) {
                for fd in open.members(group) {
                    held::mark(fd);
                }
            }
        }
    }

    /// The live branch has closed it.
    pub(super) fn let_go(&mut self, open: &mut Descriptors, closed: Closed) {
        for number in 0..open.groups().len() {
            let Some(&group) = open.groups().get(number) else {
                return;
            };
            let is_it = is_held(&group)
                && group.inode == closed.inode
                && (group.kind == Kind::Socket || group.can_write() == closed.writes);
            if is_it && self.lose(open, number, &group).is_err() {
                // It stays: its end comes with this snapshot's.
                return;
            }
        }
    }

    fn lose(&mut self, open: &mut Descriptors, number: usize, group: &Group) -> Result<(), Errno> {
        let inode_fd = match group.kind {
            Kind::Socket => None,
            _ => Some(with_descriptor_path(group.fd, |path| {
                sys::open(path, libc::O_PATH)
            })?),
        };
        self.0.push(Lost {
            group: number,
            inode_fd,
        })?;
        open.lose(number)
    }

    /// Puts something in their place; the number of those where nothing could be.
    pub(super) fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        for lost in self.0.entries() {
            if let Some(group) = open.groups().get(lost.group) {
                failed += u32::from(lost.restore(open, group).is_err());
            }
        }
        failed
    }

    pub(super) fn release(self) {
        for lost in self.0.entries() {
            if let Some(fd) = lost.inode_fd {
                sys::close(fd);
            }
        }
        self.0.release();
    }
}

impl Lost {
    fn restore(&self, open: &Descriptors, group: &Group) -> Result<(), Errno> {
        // What stands for a connection is made where sockets are.
        let Some(inode) = self.inode_fd else {
            return Ok(());
        };
        let flags = (group.flags & libc::O_ACCMODE) | libc::O_NONBLOCK;
        let fd = match with_descriptor_path(inode, |path| sys::open(path, flags)) {
            // Nobody reads a pipe with a name any more.
            Err(Errno(libc::ENXIO)) => closed_pipe()?,
            opened => opened?,
        };
        open.install(group, fd)
    }
}

/// The end to write to of a pipe that nobody reads.
fn closed_pipe() -> Result<i32, Errno> {
    let [from, to] = sys::pipe(false)?;
    sys::close(from);
    Ok(to)
}
