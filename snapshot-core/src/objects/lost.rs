//! What the live branch has closed while somebody waited for its end. The copy has let go of it, so
//! that the end comes, and puts something in its place when it is revived. It opens a file, a
//! terminal or a pipe again; a pipe only if the other end is still there. A connection becomes one
//! that the other side has closed. A terminal without its master becomes a new one, with the ends
//! that the program had; another number counts as a failure.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Fate, Group, open_again},
    open_marks, reopened,
};
use crate::sys::{self, Errno};
use crate::terms::{Closed, Kind};

/// What a frozen copy has let go of: a descriptor of the inode alone, and the branch's offset.
/// `sockets` makes the replacement of a connection.
pub(super) struct Losses(ByGroup<Loss>);

#[derive(Clone, Copy)]
struct Loss {
    path: i32,
    at: Option<i64>,
    /// The number, for a terminal's master.
    terminal: Option<u32>,
}

fn is_held(group: &Group) -> bool {
    group.is_waited_for && group.fate == Fate::Shared
}

impl Losses {
    pub(super) const fn new() -> Self {
        Self(ByGroup::new())
    }

    /// Marks the descriptors that this copy holds.
    pub(super) fn mark(open: &Descriptors) {
        for group in open.groups() {
            if is_held(group) {
                for fd in open.members(group) {
                    open_marks::mark(fd);
                }
            }
        }
    }

    /// Lets go of what the live branch closes.
    pub(super) fn let_go(&mut self, open: &mut Descriptors, closed: Closed) {
        for number in 0..open.groups().len() {
            let Some(&group) = open.groups().get(number) else {
                return;
            };
            if is_held(&group) && is_it(&group, closed) && self.lose(open, number, &group).is_err()
            {
                // It stays open until this snapshot ends.
                return;
            }
        }
    }

    fn lose(&mut self, open: &mut Descriptors, number: usize, group: &Group) -> Result<(), Errno> {
        if group.kind != Kind::Socket {
            // Output goes on where the branch has left it.
            let at = sys::lseek(group.fd, 0, libc::SEEK_CUR).ok();
            let path = open_again(group.fd, libc::O_PATH)?;
            let terminal = match group.kind {
                Kind::Terminal => sys::terminal_number(group.fd).ok(),
                _ => None,
            };
            self.0.push(number, Loss { path, at, terminal })?;
        }
        open.lose(number)
    }

    /// Opens each again, or something in its place. Returns how many failed.
    pub(super) fn restore(&self, open: &Descriptors) -> u32 {
        self.0.restore(open, |group, loss| {
            let fd = match (group.kind, loss.terminal) {
                (Kind::Pipe | Kind::Fifo, _) => return open_pipe(open, group, loss.path),
                (Kind::Terminal, Some(number)) => {
                    return self.make_terminal(open, group, loss.path, number);
                }
                // It comes with the master.
                (Kind::Terminal, None) if self.has_lost(slave_number(loss.path)) => return Ok(()),
                _ => reopened::open_by(loss.path, group)?,
            };
            if let Some(at) = loss.at {
                sys::lseek(fd, at, libc::SEEK_SET)?;
            }
            open.install(group, fd)
        })
    }

    /// Whether the master of the terminal with this number is lost.
    fn has_lost(&self, number: Option<u32>) -> bool {
        let mut losses = self.0.entries().iter();
        number.is_some() && losses.any(|(_, loss)| loss.terminal == number)
    }

    /// A descriptor of a group's path, lost or not.
    fn path_of(&self, number: usize, group: &Group) -> i32 {
        let mut losses = self.0.entries().iter();
        losses
            .find(|(lost, _)| *lost == number)
            .map_or(group.fd, |(_, loss)| loss.path)
    }

    /// Makes a terminal in place of the one with this number. All masters have one path, and each
    /// open of it makes a new terminal.
    fn make_terminal(
        &self,
        open: &Descriptors,
        group: &Group,
        path: i32,
        number: u32,
    ) -> Result<(), Errno> {
        let master = open_again(path, (group.flags & libc::O_ACCMODE) | libc::O_NOCTTY)?;
        let made = self.open_other_ends(open, master, number);
        let is_another = sys::terminal_number(master)? != number;
        open.install(group, master).and(made)?;
        if is_another {
            return Err(Errno(libc::EEXIST));
        }
        Ok(())
    }

    fn open_other_ends(&self, open: &Descriptors, master: i32, number: u32) -> Result<(), Errno> {
        // A master hangs up only if its other end was open once.
        sys::close(sys::open_other_end(master, libc::O_RDWR | libc::O_NOCTTY)?);
        for (at, group) in open.of_kind(Kind::Terminal) {
            if slave_number(self.path_of(at, group)) == Some(number) {
                let flags = (group.flags & libc::O_ACCMODE) | libc::O_NOCTTY;
                let end = sys::open_other_end(master, flags)?;
                // Only an open by path leaves the mark in the flags.
                let opened = open_again(end, flags);
                sys::close(end);
                open.install(group, opened?)?;
            }
        }
        Ok(())
    }

    pub(super) fn release(self) {
        for (_, loss) in self.0.entries() {
            sys::close(loss.path);
        }
        self.0.release();
    }
}

/// Whether the live branch closes this group.
fn is_it(group: &Group, closed: Closed) -> bool {
    if group.inode != closed.inode {
        return false;
    }
    match group.kind {
        Kind::Socket => true,
        Kind::Pipe | Kind::Fifo => group.can_write() == closed.writes,
        _ => {
            group.can_write() == closed.writes
                && closed.is_open_by((sys::getpid(), group.fd), false)
        }
    }
}

/// The number of the terminal, if the path is its slave.
fn slave_number(path: i32) -> Option<u32> {
    const FIRST: u32 = 136;
    const LAST: u32 = 143;
    let special = sys::fstat(path).ok()?.special;
    (FIRST..=LAST)
        .contains(&libc::major(special))
        .then(|| libc::minor(special))
}

fn open_pipe(open: &Descriptors, group: &Group, inode: i32) -> Result<(), Errno> {
    let flags = (group.flags & libc::O_ACCMODE) | libc::O_NONBLOCK;
    let fd = match open_again(inode, flags) {
        // A FIFO without a reader.
        Err(Errno(libc::ENXIO)) => closed_pipe()?,
        opened => opened?,
    };
    open.install(group, fd)
}

/// The write end of a pipe without a reader.
fn closed_pipe() -> Result<i32, Errno> {
    let [from, to] = sys::pipe(false)?;
    sys::close(from);
    Ok(to)
}
