//! Interest lists (`epoll`): the watched files, the events, and the program's data for each. The
//! copy makes a new list once all files on it are open again.
//!
//! An entry is a file, with the number that it had at registration. By now the number may be
//! another file's or nobody's, while a duplicate keeps the file open.
//!
//! After a revert the list reports everything that is ready once more, even edge-triggered: the
//! kernel does not show which edges were seen, and one too many does no harm.
//!
//! Context: AS-SAFE.

use core::cmp::Ordering;
use core::ops::Range;

use super::{
    descriptors::{self, Descriptors, with_information_path},
    recording::{Object, Recording},
};
use crate::kernel::{proc_text, procfs, records::Records};
use crate::sys::{self, Errno};
use crate::terms::{Kind, comes_back};

#[derive(Clone, Copy)]
struct Interest {
    /// Its list.
    list: usize,
    /// The number at registration, and the position among the entries with this number.
    by: i32,
    nth: u32,
    /// A descriptor of the file.
    fd: i32,
    events: u32,
    data: u64,
    /// The file's device and inode, from the kernel.
    file: Option<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct List {
    group: usize,
    /// Its range of the interests.
    first: usize,
    count: usize,
    /// How deep lists are nested in it.
    height: u32,
}

/// A place on a list.
#[derive(Clone, Copy)]
struct Slot {
    pid: i32,
    epoll: i32,
    /// The number that a file is registered by, and which of those with this number it is.
    by: i32,
    nth: u32,
}

impl Slot {
    fn compare(&self, fd: i32) -> Option<Ordering> {
        sys::compare_registered(self.pid, fd, self.epoll, self.by, self.nth).ok()
    }

    fn is(&self, fd: i32) -> bool {
        self.compare(fd) == Some(Ordering::Equal)
    }

    /// Finds a descriptor of the file in this slot. A question to the kernel costs more the
    /// longer the list is, so this asks about few, and about none if the inode decides.
    fn find(&self, open: &Descriptors, file: Option<(u64, u64)>, guess: &mut Guess) -> Option<i32> {
        let candidates = file.map_or(0..open.groups().len(), |file| open.of_file(file));
        let by_number = open
            .group_of(self.by)
            .filter(|number| candidates.contains(number));
        if let [group] = open.some(candidates.clone())
            && group.kind == Kind::Socket
        {
            // A socket is open once, however many descriptors it has.
            return Some(by_number.map_or(group.fd, |_| self.by));
        }
        if let Some(number) = by_number
            && self.is(self.by)
        {
            guess.comes_after(number);
            return Some(self.by);
        }
        let fd_of = |number: usize| open.groups().get(number).map(|group| group.fd);
        if file.is_some()
            && let Some(number) = guess.next(open, &candidates, |fd| self.is(fd))
        {
            return fd_of(number);
        }
        if let Some(number) = self.search(open, candidates, |_| true) {
            guess.comes_after(number);
            return fd_of(number);
        }
        // Some file systems show programs another device than the kernel's.
        let has_path = |kind| !matches!(kind, Kind::Pipe | Kind::Socket) && !is_nameless(kind);
        file.and_then(|_| self.search(open, 0..open.groups().len(), has_path))
            .and_then(fd_of)
    }

    /// Searches some groups. The groups of one file are in the kernel's order.
    fn search(
        &self,
        open: &Descriptors,
        among: Range<usize>,
        is_meant: impl Fn(Kind) -> bool,
    ) -> Option<usize> {
        let fd = |at: usize| open.groups().get(at).map(|group| group.fd);
        let mut first = among.start;
        while first < among.end {
            let of_file = open.of_same_file(first);
            let next = of_file.end.max(first + 1);
            let found = open
                .groups()
                .get(first)
                .filter(|group| is_meant(group.kind))
                .and_then(|_| descriptors::search(of_file, |at| self.compare(fd(at)?)));
            if found.is_some() {
                return found;
            }
            first = next;
        }
        None
    }
}

/// Guesses the next file on a list among many of one inode (counters, timers). The kernel has an
/// order of its own, the same in every list. So this makes a list of all of them: the next one
/// there is most often the next one here.
struct Guess {
    /// The groups to guess among.
    among: Range<usize>,
    /// These groups in the kernel's order.
    order: Records<usize>,
    /// The position of each group in `order`.
    places: Records<usize>,
    /// The position of the last file found.
    last: Option<usize>,
}

impl Guess {
    /// Up to so many groups a plain search is as quick.
    const FEW: usize = 8;
    /// Steps to try: the next one; the same again, under another number; or a later one, if those
    /// between are on no list.
    const TRIED: [usize; 4] = [1, 0, 2, 3];

    const fn none() -> Self {
        Self {
            among: 0..0,
            order: Records::growing(),
            places: Records::growing(),
            last: None,
        }
    }

    /// Notes that this group was found.
    fn comes_after(&mut self, number: usize) {
        let of_it = number.checked_sub(self.among.start);
        let place = of_it.and_then(|at| self.places.entries().get(at));
        if let Some(&place) = place.filter(|&&place| place != usize::MAX) {
            self.last = Some(place);
        }
    }

    fn next(
        &mut self,
        open: &Descriptors,
        among: &Range<usize>,
        is_it: impl Fn(i32) -> bool,
    ) -> Option<usize> {
        if among.len() <= Self::FEW {
            return None;
        }
        if self.among != *among {
            core::mem::replace(self, Self::none()).release();
            self.among = among.clone();
            // On failure the caller searches.
            let _ = self.list(open);
        }
        let order = self.order.entries();
        // At the start there is no last one.
        let places = Self::TRIED.map(|further| match self.last {
            Some(last) => Some(last + further),
            None => further.checked_sub(1),
        });
        for place in places.into_iter().flatten() {
            if let Some(&number) = order.get(place)
                && is_it(open.groups().get(number)?.fd)
            {
                self.last = Some(place);
                return Some(number);
            }
        }
        None
    }

    fn list(&mut self, open: &Descriptors) -> Result<(), Errno> {
        let epoll = sys::epoll()?;
        for number in self.among.clone() {
            if let Some(group) = open.groups().get(number)
                && group.kind != Kind::Epoll
            {
                // A file that can't be on a list fails here, and is on no list.
                let _ = sys::epoll_add(epoll, group.fd, 0, number as u64);
            }
        }
        let mut outcome = Ok(());
        let read = with_information_path(epoll, |path| {
            procfs::for_each_line(path, |line| {
                if let Some(entry) = proc_text::interest(line)
                    && let Ok(number) = usize::try_from(entry.data)
                    && outcome.is_ok()
                {
                    outcome = self.order.push(number);
                }
            })
        });
        sys::close(epoll);
        read.and(outcome)?;
        for _ in self.among.clone() {
            self.places.push(usize::MAX)?;
        }
        for (place, number) in self.order.entries().iter().enumerate() {
            let at = number.wrapping_sub(self.among.start);
            if let Some(of_it) = self.places.entries_mut().get_mut(at) {
                *of_it = place;
            }
        }
        Ok(())
    }

    fn release(self) {
        self.order.release();
        self.places.release();
    }
}

/// Whether objects of a kind have no file path.
fn is_nameless(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Epoll
            | Kind::Eventfd
            | Kind::Timerfd
            | Kind::Signalfd
            | Kind::Inotify
            | Kind::Pidfd
            | Kind::Memfd
    )
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
                            nth: 0,
                            fd: -1,
                            events: entry.events,
                            data: entry.data,
                            file: entry.file,
                        });
                    }
                })
            })?;
            outcome?;
            found.identify(recording, group.fd, from)?;
            recording.open.will_be_rebuilt(number);
            found.lists.push(List {
                group: number,
                first: from,
                count: found.interests.entries().len() - from,
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
            for list in self.lists.entries() {
                if list.height == height {
                    failed += self.restore_list(open, list);
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
    fn identify(
        &mut self,
        recording: &mut Recording<'_>,
        epoll: i32,
        from: usize,
    ) -> Result<(), Errno> {
        let open = &*recording.open;
        let all = self.interests.entries_mut();
        let interests = all.get_mut(from..).unwrap_or(&mut []);
        // The kernel counts the entries with the same number in this order.
        let mut order = Records::growing();
        for (at, interest) in interests.iter().enumerate() {
            order.push((interest.by, at))?;
        }
        order.entries_mut().sort_unstable();
        let mut before = (-1, 0);
        for &(by, at) in order.entries() {
            before = (by, if before.0 == by { before.1 + 1 } else { 0 });
            if let Some(interest) = interests.get_mut(at) {
                interest.nth = before.1;
            }
        }
        order.release();
        let mut unknown = 0_u64;
        let mut guess = Guess::none();
        for interest in interests {
            let slot = Slot {
                pid: sys::getpid(),
                epoll,
                by: interest.by,
                nth: interest.nth,
            };
            match slot.find(open, interest.file, &mut guess) {
                Some(fd) => interest.fd = fd,
                None => unknown += 1,
            }
        }
        guess.release();
        if let Some(why) = comes_back::interests(unknown) {
            recording.name(Kind::Epoll, why, epoll, unknown);
        }
        Ok(())
    }

    /// Measures how deep each list nests; the kernel allows no cycles, and a depth of five.
    fn measure(&mut self, open: &Descriptors) {
        for _ in 0..8 {
            let mut changed = false;
            for interest in self.interests.entries() {
                let Some(target) = open.group_of(interest.fd) else {
                    continue;
                };
                let lists = self.lists.entries_mut();
                // The lists are sorted by group.
                let Some(height) = lists
                    .binary_search_by_key(&target, |list| list.group)
                    .ok()
                    .and_then(|at| lists.get(at))
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

    fn restore_list(&self, open: &Descriptors, list: &List) -> u32 {
        let all = self.interests.entries();
        let interests = all.get(list.first..list.first + list.count).unwrap_or(&[]);
        let (Some(group), Ok(epoll)) = (open.groups().get(list.group), epoll_aside(interests))
        else {
            return 1;
        };
        let mut failed = 0;
        for is_disarmed in [true, false] {
            for interest in interests {
                if interest.fd >= 0 && interest.is_disarmed() == is_disarmed {
                    failed += u32::from(interest.restore(open, epoll).is_err());
                }
            }
        }
        failed + u32::from(open.install(group, epoll).is_err())
    }
}

/// Makes a list at a number that no interest has: those numbers are lent to other files
/// meanwhile.
fn epoll_aside(interests: &[Interest]) -> Result<i32, Errno> {
    let mut epoll = sys::epoll()?;
    let is_lent = |number| interests.iter().any(|interest| interest.by == number);
    let highest = interests.iter().map(|interest| interest.by).max();
    let mut above = highest.map_or(0, |highest| highest.saturating_add(1));
    while is_lent(epoll) {
        // The limit may be lower than that: then try the next number.
        let next = match sys::duplicate_above(epoll, above) {
            Err(Errno(libc::EINVAL | libc::EMFILE)) if above > epoll + 1 => {
                above = epoll + 1;
                continue;
            }
            next => next,
        };
        sys::close(epoll);
        epoll = next?;
        above = epoll + 1;
    }
    Ok(epoll)
}

/// The flags that a one-shot interest keeps after its event.
const KEPT_WHEN_DISARMED: u32 =
    (libc::EPOLLONESHOT | libc::EPOLLWAKEUP | libc::EPOLLET).cast_unsigned();

impl Interest {
    /// Whether it is a one-shot interest that waits to be armed again.
    fn is_disarmed(&self) -> bool {
        self.events & libc::EPOLLONESHOT.cast_unsigned() != 0
            && self.events & !KEPT_WHEN_DISARMED == 0
    }

    fn restore(&self, open: &Descriptors, epoll: i32) -> Result<(), Errno> {
        if self.fd == self.by {
            return self.register(epoll);
        }
        // Lends the number to the file for the registration.
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
        // The kernel adds errors to every mask. Only an event that is delivered disarms those
        // too. No armed interest is on the list yet.
        let anything = (libc::EPOLLIN | libc::EPOLLOUT).cast_unsigned();
        sys::epoll_add(epoll, self.by, self.events | anything, self.data)?;
        if sys::epoll_take(epoll)? == 0 {
            sys::epoll_change(epoll, self.by, self.events, self.data)?;
        }
        Ok(())
    }
}
