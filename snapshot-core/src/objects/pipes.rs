//! Pipes with all ends in the program. The copy makes a new pipe of the same size, with the same
//! bytes, and the same packets in packet mode.
//!
//! A pipe stays shared if another process has an end. The copy keeps a FIFO's inode, without
//! being a reader or a writer, and opens it again by that.
//!
//! Context: AS-SAFE.

use core::ops::Range;

use super::{
    contents::Contents,
    descriptors::{Descriptors, Group, drain, open_again, open_as_owner},
    holders::is_inherited,
    recording::{Object, Recording},
};
use crate::kernel::records::Records;
use crate::sys::{self, Errno};
use crate::terms::{
    Kind,
    comes_back::{self, OtherEnd},
};

#[derive(Clone, Copy)]
struct Pipe {
    /// Its groups, `first..end`: all have one inode.
    first: usize,
    end: usize,
    capacity: usize,
    has_packets: bool,
    /// A descriptor of the inode alone, for a FIFO.
    inode_fd: Option<i32>,
    contents: Contents,
}

/// The program's own pipes.
pub(super) struct Pipes(Records<Pipe>);

impl Object for Pipes {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut pipes = Records::growing();
        let mut teed = None;
        let mut end = 0;
        recording.for_each_group(|recording, first, group| {
            if first < end || !matches!(group.kind, Kind::Pipe | Kind::Fifo) {
                return Ok(());
            }
            let numbers = recording.open.of_same_file(first);
            end = numbers.end;
            let pipe = comes_back::Pipe {
                other_end: other_end(recording.open.some(numbers.clone())),
                can_write: group.can_write(),
                is_inherited: is_inherited(group.device, group.inode),
            };
            match pipe.why(recording.sharing_of(numbers.clone())) {
                None => {
                    pipes.push(Pipe::record(recording, numbers.clone(), &mut teed)?)?;
                    numbers.for_each(|number| recording.open.will_be_rebuilt(number));
                }
                Some(why) => {
                    numbers.for_each(|number| recording.open.will_be_waited_for(number));
                    recording.name(group.kind, why, group.fd, 0);
                }
            }
            Ok(())
        })?;
        if let Some([from, to]) = teed {
            sys::close(from);
            sys::close(to);
        }
        Ok(Self(pipes))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0.entries().iter().map(|pipe| pipe.restore(open)).sum()
    }

    fn release(self) {
        for pipe in self.0.entries() {
            pipe.contents.release();
            if let Some(fd) = pipe.inode_fd {
                sys::close(fd);
            }
        }
        self.0.release();
    }
}

/// Where the other end is.
fn other_end(groups: &[Group]) -> OtherEnd {
    let reads = groups.iter().find(|group| group.can_read());
    let writes = groups.iter().find(|group| group.can_write());
    // A poll shows whether the other end is gone.
    let (end, gone) = match (reads, writes) {
        (Some(_), Some(_)) => return OtherEnd::Own,
        (Some(end), None) => (end, libc::POLLHUP),
        (None, Some(end)) => (end, libc::POLLERR),
        (None, None) => return OtherEnd::Open,
    };
    match sys::poll_now(end.fd) & gone {
        0 => OtherEnd::Open,
        _ => OtherEnd::Closed,
    }
}

impl Pipe {
    fn record(
        recording: &Recording<'_>,
        numbers: Range<usize>,
        teed: &mut Option<[i32; 2]>,
    ) -> Result<Self, Errno> {
        let groups = recording.open.some(numbers.clone());
        let Some(any) = groups.first() else {
            return Err(Errno(libc::EINVAL));
        };
        let capacity = sys::pipe_capacity(any.fd)?;
        let has_packets = groups.iter().any(|group| group.flags & libc::O_DIRECT != 0);
        let mut contents = Contents::default();
        if let Some(end) = groups.iter().find(|group| group.can_read()) {
            let waiting = sys::waiting_bytes(end.fd)?;
            if waiting > 0 {
                contents = read(end.fd, waiting, capacity, teed)?;
            }
        }
        let inode_fd = match any.kind {
            Kind::Fifo => Some(open_again(any.fd, libc::O_PATH)?),
            _ => None,
        };
        Ok(Self {
            first: numbers.start,
            end: numbers.end,
            capacity,
            has_packets,
            inode_fd,
            contents,
        })
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let groups = open.some(self.first..self.end);
        let ends = match self.inode_fd {
            Some(inode) => reopen_both(inode),
            None => sys::pipe(self.has_packets),
        };
        let Ok([from, to]) = ends else {
            return u32::try_from(groups.len()).unwrap_or(u32::MAX);
        };
        let times = self.inode_fd.map(|_| sys::times_of(from));
        let mut failed = u32::from(self.fill(from, to).is_err());
        if let Some(Ok(times)) = times {
            // A FIFO's file says when it was written to. Its owner alone may set that.
            let _ = sys::set_times(from, &times);
        }
        // `pipe` has made the first group of each end; the flags of the others show a later open.
        let mut is_taken = [false; 2];
        for group in groups {
            let end = usize::from(group.can_write());
            let is_first = !group.was_opened() && !core::mem::replace(&mut is_taken[end], true);
            let fd = match is_first {
                true => sys::duplicate_above([from, to][end], 0),
                false => {
                    let flags = libc::O_NONBLOCK | (group.flags & libc::O_ACCMODE);
                    open_as_owner([from, to][end], flags)
                }
            };
            let installed = fd.and_then(|fd| open.install(group, fd));
            failed += u32::from(installed.is_err());
        }
        sys::close(from);
        sys::close(to);
        failed
    }

    fn fill(&self, from: i32, to: i32) -> Result<(), Errno> {
        if self.inode_fd.is_some() {
            // Others may have it open by now, or an older copy shares it.
            drain(from)?;
        }
        if sys::pipe_capacity(to) != Ok(self.capacity) {
            sys::set_pipe_capacity(to, self.capacity)?;
        }
        let mut written = Ok(());
        self.contents.for_each(|part| {
            let mut part = part;
            while written.is_ok() && !part.is_empty() {
                match sys::write_once(to, part) {
                    Ok(length) => part = part.get(length..).unwrap_or(&[]),
                    Err(errno) => written = Err(errno),
                }
            }
        });
        written
    }
}

fn reopen_both(inode: i32) -> Result<[i32; 2], Errno> {
    let from = open_as_owner(inode, libc::O_RDONLY | libc::O_NONBLOCK)?;
    match open_as_owner(inode, libc::O_WRONLY | libc::O_NONBLOCK) {
        Ok(to) => Ok([from, to]),
        Err(errno) => {
            sys::close(from);
            Err(errno)
        }
    }
}

/// Reads a pipe without taking from it: `tee` gives the same pages to another pipe.
fn read(
    end: i32,
    waiting: usize,
    capacity: usize,
    teed: &mut Option<[i32; 2]>,
) -> Result<Contents, Errno> {
    let [from, to] = match *teed {
        Some(ends) => ends,
        None => *teed.insert(sys::pipe(false)?),
    };
    if sys::pipe_capacity(to)? < capacity {
        sys::set_pipe_capacity(to, capacity)?;
    }
    if sys::tee(end, to, waiting)? != waiting {
        return Err(Errno(libc::ENOSPC));
    }
    // One read gives one packet at most.
    let mut contents = Contents::with_room(waiting)?;
    while contents.length() < waiting {
        match contents.add(|room| sys::read(from, room)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(errno) => {
                contents.release();
                return Err(errno);
            }
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::recording::tests::round;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn bytes_wait_again_after_they_were_read() {
        let (mut from, mut to) = std::io::pipe().expect("a pipe");
        to.write_all(b"hello").expect("there is room");
        let mut text = [0; 5];
        round::<Pipes>(&[from.as_raw_fd(), to.as_raw_fd()], || {
            from.read_exact(&mut text).expect("it was written");
            to.write_all(b"another").expect("there is room");
        });
        from.read_exact(&mut text).expect("it is there again");
        assert_eq!(&text, b"hello");
        assert_eq!(sys::waiting_bytes(from.as_raw_fd()), Ok(0));
        to.write_all(b"x").expect("it is still a pipe");
        from.read_exact(&mut text[..1])
            .expect("of the same two ends");
    }

    #[test]
    fn packets_stay_packets() {
        let [from, to] = sys::pipe(true).expect("a pipe");
        sys::write_once(to, b"one").expect("there is room");
        sys::write_once(to, b"three").expect("there is room");
        let mut buffer = [0; 100];
        round::<Pipes>(
            &[from, to],
            || while sys::read(from, &mut buffer).is_ok() {},
        );
        assert_eq!(sys::read(from, &mut buffer), Ok(3));
        assert_eq!(sys::read(from, &mut buffer), Ok(5));
        assert_eq!(sys::read(from, &mut buffer), Err(Errno(libc::EAGAIN)));
        sys::close(from);
        sys::close(to);
    }
}
