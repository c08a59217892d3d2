//! Interest lists (`epoll`): which files are watched for what, with the program's own word
//! for each. The copy makes a list of its own, when everything that is on it is there.
//!
//! What is registered is a file, by a number that it had at the time: the number may stand
//! for another file by now, or for none, as long as a duplicate keeps the file open.
//!
//! Everything that is ready is reported once more after a revert, edge-triggered or not:
//! which edges have been seen is not told by the kernel, and one too many does no harm.
//!
//! Context: AS-SAFE.

use super::descriptors::{Descriptors, with_information_path};
use super::kinds::{Kind, Why};
use super::{Object, Recording};
use crate::proc_text;
use crate::procfs;
use crate::records::Records;
use crate::sys::{self, Errno};

#[derive(Clone, Copy)]
struct Interest {
    /// The list that it is on.
    list: usize,
    /// The number that the file is registered by.
    by: i32,
    /// A descriptor of the file.
    fd: i32,
    events: u32,
    data: u64,
}

#[derive(Clone, Copy)]
struct List {
    group: usize,
    /// How many lists it is a list of, in turn.
    height: u32,
}

/// The program's interest lists.
pub(super) struct Interests {
    lists: Records<List>,
    interests: Records<Interest>,
}

impl Object for Interests {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut found = Self {
            lists: Records::growing(),
            interests: Records::growing(),
        };
        recording.for_each_own(Kind::Epoll, |recording, number, group| {
            let from = found.interests.entries().len();
            let list = found.lists.entries().len();
            let mut outcome = Ok(());
            with_information_path(group.fd, |path| {
                procfs::for_each_line(path, |line| {
                    if let Some(entry) = proc_text::interest(line)
                        && outcome.is_ok()
                    {
                        outcome = found.interests.push(Interest {
                            list,
                            by: entry.by,
                            fd: -1,
                            events: entry.events,
                            data: entry.data,
                        });
                    }
                })
            })?;
            outcome?;
            found.identify(recording, group.fd, from);
            recording.open.will_be_rebuilt(number);
            found.lists.push(List {
                group: number,
                height: 0,
            })
        })?;
        found.measure(recording.open);
        Ok(found)
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        let mut failed = 0;
        let tallest = self.lists.entries().iter().map(|list| list.height).max();
        // A list that others are on is made after them.
        for height in 0..=tallest.unwrap_or(0) {
            for (number, list) in self.lists.entries().iter().enumerate() {
                if list.height == height {
                    failed += self.restore_list(open, number, list);
                }
            }
        }
        failed
    }

    fn release(self) {
        self.lists.release();
        self.interests.release();
    }
}

impl Interests {
    /// Finds a descriptor of every file that is on a list.
    fn identify(&mut self, recording: &mut Recording<'_>, epoll: i32, from: usize) {
        let pid = sys::getpid();
        let open = &*recording.open;
        let mut unknown = 0_u64;
        let interests = self
            .interests
            .entries_mut()
            .get_mut(from..)
            .unwrap_or(&mut []);
        for at in 0..interests.len() {
            let Some(&Interest { by, .. }) = interests.get(at) else {
                continue;
            };
            let is_nth = |fd, nth| sys::is_registered(pid, fd, epoll, by, nth) == Ok(true);
            let is_alone = sys::is_registered(pid, epoll, epoll, by, 1) == Err(Errno(libc::ENOENT));
            let fd = if open.group_of(by).is_some() && is_alone && is_nth(by, 0) {
                Some(by)
            } else {
                // The kernel numbers those that are registered by one number, in this order.
                let earlier = interests.iter().take(at).filter(|other| other.by == by);
                let nth = u32::try_from(earlier.count()).unwrap_or(u32::MAX);
                let mut fds = open.groups().iter().map(|group| group.fd);
                fds.find(|&fd| is_nth(fd, nth))
            };
            match (interests.get_mut(at), fd) {
                (Some(interest), Some(fd)) => interest.fd = fd,
                _ => unknown += 1,
            }
        }
        if unknown > 0 {
            // Only another process can have what is on the list then.
            recording.name(Kind::Epoll, Why::Elsewhere, epoll, unknown);
        }
    }

    /// How many lists each one depends on; the kernel allows no circles, and five at most.
    fn measure(&mut self, open: &Descriptors) {
        for _ in 0..8 {
            let mut changed = false;
            for interest in self.interests.entries() {
                let Some(target) = open.group_of(interest.fd) else {
                    continue;
                };
                let lists = self.lists.entries_mut();
                let Some(height) = lists
                    .iter()
                    .find(|list| list.group == target)
                    .map(|list| list.height)
                else {
                    continue;
                };
                if let Some(list) = lists.get_mut(interest.list)
                    && list.height <= height
                {
                    list.height = height + 1;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }

    fn restore_list(&self, open: &Descriptors, number: usize, list: &List) -> u32 {
        let (Some(group), Ok(epoll)) = (open.groups().get(list.group), sys::epoll()) else {
            return 1;
        };
        let mut failed = 0;
        for is_disarmed in [true, false] {
            for interest in self.interests.entries() {
                if interest.list == number
                    && interest.fd >= 0
                    && interest.is_disarmed() == is_disarmed
                {
                    failed += u32::from(interest.restore(open, epoll).is_err());
                }
            }
        }
        failed + u32::from(open.install(group, epoll).is_err())
    }
}

/// What an interest keeps when it has been told of once and is not to be told again.
const KEPT_WHEN_DISARMED: u32 =
    (libc::EPOLLONESHOT | libc::EPOLLWAKEUP | libc::EPOLLET).cast_unsigned();

impl Interest {
    /// Whether it has been told of, and waits to be armed again.
    fn is_disarmed(&self) -> bool {
        self.events & libc::EPOLLONESHOT.cast_unsigned() != 0
            && self.events & !KEPT_WHEN_DISARMED == 0
    }

    fn restore(&self, open: &Descriptors, epoll: i32) -> Result<(), Errno> {
        if self.fd == self.by {
            return self.register(epoll);
        }
        // The number is lent to the file for as long as it takes to register it by it.
        let in_the_way = match open.group_of(self.by) {
            Some(_) => {
                let closes = sys::fcntl(self.by, libc::F_GETFD, 0)? & libc::FD_CLOEXEC != 0;
                Some((sys::duplicate_above(self.by, 0)?, closes))
            }
            None => None,
        };
        let registered =
            sys::duplicate_to(self.fd, self.by, true).and_then(|()| self.register(epoll));
        match in_the_way {
            Some((owner, closes)) => {
                let returned = sys::duplicate_to(owner, self.by, closes);
                sys::close(owner);
                registered.and(returned)
            }
            None => {
                sys::close(self.by);
                registered
            }
        }
    }

    /// Registers whatever has the number now.
    fn register(&self, epoll: i32) -> Result<(), Errno> {
        if !self.is_disarmed() {
            return sys::epoll_add(epoll, self.by, self.events, self.data);
        }
        // The kernel adds errors to whatever is asked for: only one that is told of is
        // disarmed of these, too. Nothing that is armed is on the list yet.
        let anything = (libc::EPOLLIN | libc::EPOLLOUT).cast_unsigned();
        sys::epoll_add(epoll, self.by, self.events | anything, self.data)?;
        if sys::epoll_take(epoll)? == 0 {
            sys::epoll_change(epoll, self.by, self.events, self.data)?;
        }
        Ok(())
    }
}
