//! The family table: the program's children that a snapshot has seen, in memory that the
//! supervisor and every life of the program share.
//!
//! A revived process is not the parent of the children that were there at the snapshot, so
//! the kernel tells it nothing of them. The table does: whoever reaps such a child, a life
//! of the program that was its parent or the supervisor that inherited it, writes down how
//! it has ended; and the life that has *adopted* it is answered from here.
//!
//! It is outside of what is rolled back. How a child has ended stays true in every branch;
//! whose it is is set by the supervisor on each revert, before anybody runs.
//!
//! Context: AS-SAFE. Nothing but atomics, and sleeping on them. An entry is filled and
//! removed by the supervisor alone; the program never removes one that a snapshot names.
#![expect(unsafe_code, reason = "shares memory with other processes")]

use core::mem::size_of;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::process::{
    own_memory,
    own_processes::{self, OwnProcesses},
};
use crate::sys;

/// How many children it has room for: more than a user is allowed processes in most
/// places. Pages that no entry is on cost nothing.
pub const CAPACITY: usize = 1024;

const WORDS: usize = CAPACITY / 64;

/// The kernel's `struct rusage`, as words.
pub type Usage = [u64; size_of::<libc::rusage>() / 8];

/// Nobody.
const FREE: u32 = 0;
/// It has not been reaped.
const ALIVE: u32 = 1;
/// It has been reaped by nobody who could say how it ended.
const LOST: u32 = 2;
/// Set once it has been reaped, with its wait status in the lower half.
const ENDED: u32 = 1 << 31;

/// Set in what a wait for stopped children has to tell.
const NEWS: u32 = 1 << 31;
/// Set there once its SIGCHLD has been sent.
const TOLD: u32 = 1 << 30;

/// The wait status of a child that goes on.
pub const CONTINUED: i32 = 0xffff;

/// The wait status of one that this signal has stopped.
pub const fn stopped(signal: i32) -> i32 {
    (signal & 0xff) << 8 | 0x7f
}

/// A child's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(usize);

/// What is known of a child when it is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// Its process group.
    pub group: i32,
    /// Its user.
    pub user: u32,
    /// The number that tells a pidfd of it from all others; 0 on kernels before 6.9,
    /// which have none.
    pub handle: u64,
}

/// Where a child stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none in this place.
    Free,
    /// It runs, or nobody has reaped it yet.
    Alive,
    /// It has been reaped with this wait status.
    Ended(i32),
    /// It is gone, and nobody knows how it ended.
    Lost,
}

#[repr(C)]
struct Entry {
    /// FREE, ALIVE, LOST or ENDED with the status: one word, so that nobody ever sees
    /// half of it, and the one that sleepers sleep on.
    state: AtomicU32,
    pid: AtomicI32,
    group: AtomicI32,
    user: AtomicU32,
    /// Whether the life that has adopted it has been sent its SIGCHLD.
    told: AtomicU32,
    /// That it has stopped or goes on, as a wait status, as long as nobody has waited for
    /// that; 0, or with [`NEWS`] and [`TOLD`].
    news: AtomicU32,
    /// The signal that stopped it last, as far as anybody has seen.
    stopped_by: AtomicI32,
    handle: AtomicU64,
    usage: [AtomicU64; size_of::<Usage>() / 8],
}

/// The table. All zero is an empty one.
#[repr(C)]
pub struct Table {
    /// Entries from here on are free.
    used: AtomicU32,
    /// Counts what has happened to adopted children: what a wait for any of them sleeps on.
    changes: AtomicU32,
    /// Whether the live process wants no SIGCHLD of those that stop (SA_NOCLDSTOP).
    hides_stops: AtomicU32,
    /// Which of them are the live process's although the kernel says otherwise, a bit each.
    adopted: [AtomicU64; WORDS],
    entries: [Entry; CAPACITY],
    /// Which processes are the session's own: no children, but known to all the same lives.
    own: OwnProcesses,
}

impl core::fmt::Debug for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    /// The length of the memory that it lies in.
    pub const BYTES: usize = size_of::<Self>();

    /// Maps the table that a descriptor stands for, for the rest of this process's life
    /// and of its copies'. The descriptor is not needed afterwards.
    ///
    /// # Safety
    /// The descriptor must stand for at least [`Table::BYTES`] of shared memory that never
    /// shrinks and that nobody uses for anything else.
    ///
    /// # Errors
    /// ENOMEM, and whatever mapping it gives.
    pub unsafe fn map(descriptor: i32) -> sys::Result<&'static Self> {
        let start = sys::map_file_shared(descriptor, Self::BYTES)?;
        own_memory::keep_out(start.as_ptr().addr());
        // SAFETY: a page's start is aligned for it, it is as long, by the caller's promise,
        // never unmapped, and any bytes are a table of atomics.
        let table: &'static Self = unsafe { start.cast().as_ref() };
        own_processes::begin(&table.own);
        Ok(table)
    }

    /// Whether there is nobody in it: then every wait is the kernel's business alone.
    pub fn is_empty(&self) -> bool {
        // Relaxed: an entry that is made meanwhile concerns what follows a take, for which
        // the calling thread is stopped and released again.
        self.used.load(Ordering::Relaxed) == 0
    }

    fn entry(&self, place: Place) -> &Entry {
        // A place is made below, and always within the table.
        &self.entries[place.0 % CAPACITY]
    }

    /// All places that may be in use.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        // Acquire: pairs with the release in `enter`.
        let used = self.used.load(Ordering::Acquire) as usize;
        (0..used.min(CAPACITY)).map(Place)
    }

    /// Where a child stands.
    pub fn state(&self, place: Place) -> State {
        // Acquire: what has been written before its end was is seen.
        match self.entry(place).state.load(Ordering::Acquire) {
            FREE => State::Free,
            ALIVE => State::Alive,
            state if state & ENDED != 0 => State::Ended((state & 0xffff).cast_signed()),
            _ => State::Lost,
        }
    }

    /// Who a child is.
    pub fn child(&self, place: Place) -> Child {
        let entry = self.entry(place);
        // Relaxed: written before its state was, and not while anybody may wait for it.
        Child {
            pid: entry.pid.load(Ordering::Relaxed),
            group: entry.group.load(Ordering::Relaxed),
            user: entry.user.load(Ordering::Relaxed),
            handle: entry.handle.load(Ordering::Relaxed),
        }
    }

    /// What it has used, once it has ended; all zero where that is not known.
    pub fn usage(&self, place: Place) -> Usage {
        let words = &self.entry(place).usage;
        core::array::from_fn(|index| words[index].load(Ordering::Relaxed))
    }

    /// The child of this id that nobody has reaped yet.
    pub fn find_alive(&self, pid: i32) -> Option<Place> {
        self.places().find(|&place| {
            self.entry(place).pid.load(Ordering::Relaxed) == pid
                && self.state(place) == State::Alive
        })
    }

    /// Enters a child. `None` where there is no room. The supervisor's alone.
    pub fn enter(&self, child: Child) -> Option<Place> {
        let place = (0..CAPACITY)
            .map(Place)
            .find(|&place| self.state(place) == State::Free)?;
        let entry = self.entry(place);
        entry.pid.store(child.pid, Ordering::Relaxed);
        entry.group.store(child.group, Ordering::Relaxed);
        entry.user.store(child.user, Ordering::Relaxed);
        entry.handle.store(child.handle, Ordering::Relaxed);
        entry.told.store(0, Ordering::Relaxed);
        entry.news.store(0, Ordering::Relaxed);
        entry.stopped_by.store(0, Ordering::Relaxed);
        for word in &entry.usage {
            word.store(0, Ordering::Relaxed);
        }
        // Release: whoever sees it alive sees who it is.
        entry.state.store(ALIVE, Ordering::Release);
        let end = u32::try_from(place.0 + 1).unwrap_or(0);
        self.used.fetch_max(end, Ordering::Release);
        Some(place)
    }

    /// Forgets a child. The supervisor's alone, and only where nobody can wait for it.
    pub fn remove(&self, place: Place) {
        self.release(place);
        self.entry(place).state.store(FREE, Ordering::Release);
        let used = (0..CAPACITY)
            .rev()
            .map(Place)
            .find(|&place| self.state(place) != State::Free)
            .map_or(0, |last| last.0 + 1);
        self.used
            .store(u32::try_from(used).unwrap_or(0), Ordering::Release);
    }

    /// Writes down what a child has used.
    pub fn set_usage(&self, place: Place, usage: &Usage) {
        for (word, &used) in self.entry(place).usage.iter().zip(usage) {
            word.store(used, Ordering::Relaxed);
        }
    }

    /// Writes down how a child has ended, if nobody has yet. To be called by its parent.
    pub fn end(&self, place: Place, status: i32) {
        let ended = ENDED | (status.cast_unsigned() & 0xffff);
        // Release: whoever sees the end sees what was used. Nobody says anything else.
        let _ = self.entry(place).state.compare_exchange(
            ALIVE,
            ended,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Gives a child up: it is gone, and nobody knows how it ended.
    pub fn lose(&self, place: Place) {
        self.release(place);
        self.entry(place).state.store(LOST, Ordering::Release);
    }

    /// Whether a child is the live process's by adoption.
    pub fn is_adopted(&self, place: Place) -> bool {
        let word = &self.adopted[place.0 / 64 % WORDS];
        word.load(Ordering::Acquire) & (1 << (place.0 % 64)) != 0
    }

    /// All children that are.
    pub fn adopted(&self) -> impl Iterator<Item = Place> {
        self.places().filter(|&place| self.is_adopted(place))
    }

    /// Makes these the live process's, and no others; none of their ends has been told.
    /// The supervisor's alone, while no live process runs.
    pub fn adopt(&self, places: impl Iterator<Item = Place>) {
        let mut words = [0_u64; WORDS];
        for place in places {
            words[place.0 / 64 % WORDS] |= 1 << (place.0 % 64);
            self.entry(place).told.store(0, Ordering::Relaxed);
        }
        for (word, new) in self.adopted.iter().zip(words) {
            word.store(new, Ordering::Release);
        }
        // A thread of the copy may be about to sleep on the number it saw in another life.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Ends an adoption: it has been waited for. True for the one who ended it.
    pub fn release(&self, place: Place) -> bool {
        let bit = 1 << (place.0 % 64);
        let word = &self.adopted[place.0 / 64 % WORDS];
        // Acquire and release: of two threads one gets it, and all that it has read of the
        // entry was read while the entry was its own.
        word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether its SIGCHLD is still to be sent; the caller is the one who sends it then.
    pub fn is_to_be_told(&self, place: Place) -> bool {
        self.entry(place).told.swap(1, Ordering::AcqRel) == 0
    }

    /// What there is to tell of a child that has stopped, or goes on: a wait status.
    pub fn news(&self, place: Place) -> Option<i32> {
        let news = self.entry(place).news.load(Ordering::Acquire);
        (news & NEWS != 0).then_some((news & 0xffff).cast_signed())
    }

    /// There is this to tell of a child now, or nothing: the last that has happened counts,
    /// as with the kernel. The supervisor's alone.
    pub fn set_news(&self, place: Place, status: Option<i32>) {
        let news = status.map_or(0, |status| NEWS | (status.cast_unsigned() & 0xffff));
        if let Some(status) = status.filter(|&status| status != CONTINUED) {
            self.note_stop(place, status >> 8 & 0xff);
        }
        self.entry(place).news.store(news, Ordering::Release);
    }

    /// Takes it off: it has been waited for. True for the one who gets it.
    pub fn take_news(&self, place: Place, status: i32) -> bool {
        let is_it = |news: u32| news & NEWS != 0 && news & 0xffff == status.cast_unsigned();
        // Acquire and release: of two threads one gets it.
        self.entry(place)
            .news
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |news| {
                is_it(news).then_some(0)
            })
            .is_ok()
    }

    /// Whether its SIGCHLD is still to be sent; the caller is the one who sends it then.
    pub fn are_news_to_be_told(&self, place: Place) -> bool {
        let word = &self.entry(place).news;
        word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |news| {
            (news & NEWS != 0 && news & TOLD == 0).then_some(news | TOLD)
        })
        .is_ok()
    }

    /// Somebody has seen that this signal has stopped a child.
    pub fn note_stop(&self, place: Place, signal: i32) {
        self.entry(place)
            .stopped_by
            .store(signal, Ordering::Relaxed);
    }

    /// The signal that has stopped it last; a key's, where nobody has seen it.
    pub fn stopped_by(&self, place: Place) -> i32 {
        match self.entry(place).stopped_by.load(Ordering::Relaxed) {
            0 => libc::SIGTSTP,
            signal => signal,
        }
    }

    /// Whether the live process wants no SIGCHLD of children that stop or go on.
    pub fn hides_stops(&self) -> bool {
        self.hides_stops.load(Ordering::Relaxed) != 0
    }

    /// It does, or doesn't. The live process's alone.
    pub fn hide_stops(&self, hide: bool) {
        self.hides_stops.store(u32::from(hide), Ordering::Relaxed);
    }

    /// What has happened so far: to be looked at before the table is, and slept on if
    /// nothing was found.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Wakes whoever waits for this child, or for any.
    pub fn wake(&self, place: Place) {
        self.changes.fetch_add(1, Ordering::Release);
        sys::futex_wake_shared(&self.entry(place).state);
        sys::futex_wake_shared(&self.changes);
    }

    /// Sleeps until a child that is alive has been reaped; or for no reason.
    ///
    /// # Errors
    /// EINTR, where a handler has run that does not ask for restarts.
    pub fn sleep_until_ended(&self, place: Place) -> sys::Result<()> {
        sys::futex_wait_shared(&self.entry(place).state, ALIVE, None)
    }

    /// Sleeps until something has happened after `seen`, for so long at most; or for no
    /// reason.
    ///
    /// # Errors
    /// EINTR, with a time limit after any handler.
    pub fn sleep_until_changed(&self, seen: u32, at_most_ns: Option<u64>) -> sys::Result<()> {
        sys::futex_wait_shared(&self.changes, seen, at_most_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Box<Table> {
        // SAFETY: atomics, which may all be zero.
        unsafe { Box::<Table>::new_zeroed().assume_init() }
    }

    fn child(pid: i32) -> Child {
        Child {
            pid,
            group: pid,
            user: 0,
            handle: 0,
        }
    }

    #[test]
    fn a_child_comes_ends_and_goes() {
        let table = empty();
        assert!(table.is_empty());
        let place = table.enter(child(7)).expect("there is room");
        assert!(!table.is_empty());
        assert_eq!(table.find_alive(7), Some(place));
        let mut usage = Usage::default();
        usage[4] = 5;
        table.set_usage(place, &usage);
        table.end(place, 3 << 8);
        assert_eq!(table.state(place), State::Ended(3 << 8));
        assert_eq!(table.usage(place), usage);
        // Its number may be another process's by now.
        assert_eq!(table.find_alive(7), None);
        table.end(place, 0);
        assert_eq!(table.state(place), State::Ended(3 << 8));
        table.remove(place);
        assert!(table.is_empty());
    }

    #[test]
    fn an_adopted_child_is_waited_for_once_a_life() {
        let table = empty();
        let places: Vec<Place> = (1..=70)
            .map(|pid| table.enter(child(pid)).expect("there is room"))
            .collect();
        let seen = table.changes();
        table.adopt([places[0], places[69]].into_iter());
        assert_ne!(table.changes(), seen);
        assert_eq!(table.adopted().collect::<Vec<_>>(), [places[0], places[69]]);
        assert!(table.is_to_be_told(places[69]));
        assert!(!table.is_to_be_told(places[69]));
        assert!(table.release(places[69]));
        assert!(!table.release(places[69]));
        // In the next life it all comes again.
        table.adopt([places[69]].into_iter());
        assert!(!table.is_adopted(places[0]));
        assert!(table.is_to_be_told(places[69]));
        assert!(table.release(places[69]));
    }

    #[test]
    fn there_is_an_end_to_its_room() {
        let table = empty();
        for pid in 1..=1024 {
            assert!(table.enter(child(pid)).is_some());
        }
        assert!(table.enter(child(1025)).is_none());
        let place = table.find_alive(500).expect("it is there");
        table.lose(place);
        assert_eq!(table.state(place), State::Lost);
        table.remove(place);
        assert_eq!(table.enter(child(1025)), Some(place));
    }
}
