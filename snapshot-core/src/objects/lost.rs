//! What the live branch has closed although somebody waited for its end: the copy has let
//! go of it, so that the end could come, and has something in its place when it comes back
//! to life. A pipe is opened again, if its other end is still there; in place of a
//! connection there is one that the other side has closed, which is how it is.
//!
//! Context: AS-SAFE.

use super::by_group::ByGroup;
use super::descriptors::{Descriptors, Fate, Group, open_again};
use super::held::{self, Closed};
use super::kinds::Kind;
use crate::sys::{self, Errno};

/// What a copy has let go of while it was frozen, with a descriptor of the inode alone.
/// What stands for a connection is made where sockets are.
pub(super) struct Losses(ByGroup<i32>);

fn is_held(group: &Group) -> bool {
    group.is_waited_for && group.fate == Fate::Shared
}

impl Losses {
    pub(super) const fn new() -> Self {
        Self(ByGroup::new())
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
        if group.kind != Kind::Socket {
            self.0.push(number, open_again(group.fd, libc::O_PATH)?)?;
        }
        open.lose(number)
    }

    /// Opens the pipes again, or has something in their place; the number of those where
    /// nothing could be.
    pub(super) fn restore(&self, open: &Descriptors) -> u32 {
        self.0.restore(open, |group, &inode| {
            let flags = (group.flags & libc::O_ACCMODE) | libc::O_NONBLOCK;
            let fd = match open_again(inode, flags) {
                // Nobody reads a pipe with a name any more.
                Err(Errno(libc::ENXIO)) => closed_pipe()?,
                opened => opened?,
            };
            open.install(group, fd)
        })
    }

    pub(super) fn release(self) {
        for &(_, inode) in self.0.entries() {
            sys::close(inode);
        }
        self.0.release();
    }
}

/// The end to write to of a pipe that nobody reads.
fn closed_pipe() -> Result<i32, Errno> {
    let [from, to] = sys::pipe(false)?;
    sys::close(from);
    Ok(to)
}
