//! The table of the program's children that a snapshot has seen, in memory that the supervisor
//! and every life of the program share.
//!
//! A revived process is not the parent of the children that lived at the snapshot, so the
//! kernel tells it nothing of them. The table does. Whoever reaps such a child records how it
//! has ended: the life of the program that was its parent, or the supervisor that inherited it.
//! The life that has *adopted* the child gets its answer from here.
//!
//! A revert doesn't roll the table back. How a child has ended stays true in every branch. The
//! supervisor sets the owners on each revert, before the program runs.
//!
//! Context: AS-SAFE. Nothing but atomics, and sleeping on them. An entry is filled and
//! removed by the supervisor alone; the program never removes one that a snapshot names.
#![expect(unsafe_code, reason = "shares memory with other processes")]

use core::mem::size_of;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::process::{
    notices::Notices,
    own_memory,
    own_processes::{self, OwnProcesses},
};
use crate::sys;

/// The number of entries: more than most systems allow a user processes. Unused pages cost
/// nothing.
pub const CAPACITY: usize = 1024;

const WORDS: usize = CAPACITY / 64;

/// The kernel's `struct rusage`, as words.
pub type Usage = [u64; size_of::<libc::rusage>() / 8];

/// The entry is empty.
const FREE: u32 = 0;
/// It has not been reaped.
const ALIVE: u32 = 1;
/// It is gone, and nobody knows how it ended.
const LOST: u32 = 2;
/// Set once it has been reaped, with its wait status in the lower half.
const ENDED: u32 = 1 << 31;

/// Set in `news` while a stop is unread.
const NEWS: u32 = 1 << 31;
/// Set in `news` once its SIGCHLD has been sent.
const SIGNALLED: u32 = 1 << 30;

/// The wait status of a child that goes on.
pub const CONTINUED: i32 = 0xffff;

/// The wait status of a child that this signal has stopped.
pub const fn stopped(signal: i32) -> i32 {
    (signal & 0xff) << 8 | 0x7f
}

/// A child's index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Index(usize);

/// What is known of a child when it enters the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// Its process group.
    pub group: i32,
    /// Its user.
    pub user: u32,
    /// The inode of its pidfds, which no other process has; 0 before Linux 6.9.
    pub handle: u64,
}

/// The state of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The entry is empty.
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
    /// FREE, ALIVE, LOST or ENDED with the status. It is one word, so that no reader sees half
    /// of it, and sleepers sleep on it.
    state: AtomicU32,
    pid: AtomicI32,
    group: AtomicI32,
    user: AtomicU32,
    /// Whether its adopter has got its SIGCHLD.
    signalled: AtomicU32,
    /// The wait status of a stop or a continue that nobody has waited for yet, with [`NEWS`]
    /// and [`SIGNALLED`]; else 0.
    news: AtomicU32,
    /// The last signal known to have stopped it.
    stopped_by: AtomicI32,
    handle: AtomicU64,
    usage: [AtomicU64; size_of::<Usage>() / 8],
}

/// The table. All zero is an empty table.
#[repr(C)]
pub struct Table {
    /// Entries from here on are free.
    used: AtomicU32,
    /// Counts the events of adopted children. A wait for any child sleeps on it.
    changes: AtomicU32,
    /// Whether the live process wants no SIGCHLD of those that stop (SA_NOCLDSTOP).
    hides_stops: AtomicU32,
    /// A bit a child: whether the live process has adopted it.
    adopted: [AtomicU64; WORDS],
    entries: [Entry; CAPACITY],
    /// The session's own processes. They are no children, but the same lives share this list.
    own: OwnProcesses,
    /// Nor is this, and the same lives share it.
    notices: Notices,
}

impl core::fmt::Debug for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}

impl Table {
    /// The length of the table's memory.
    pub const BYTES: usize = size_of::<Self>();

    /// Maps the table of this descriptor for the rest of this process's life and its copies'
    /// lives. The descriptor is not needed afterwards.
    ///
    /// # Safety
    /// The descriptor must be at least [`Table::BYTES`] of shared memory that never shrinks and
    /// has no other use.
    ///
    /// # Errors
    /// ENOMEM, and any error of the mapping.
    pub unsafe fn map(descriptor: i32) -> sys::Result<&'static Self> {
        let start = sys::map_file_shared(descriptor, Self::BYTES)?;
        own_memory::keep_out(start.as_ptr().addr());
        // SAFETY: a page's start is aligned for it, the memory is long enough by the caller's
        // promise and never unmapped, and any bytes are a table of atomics.
        let table: &'static Self = unsafe { start.cast().as_ref() };
        own_processes::begin(&table.own);
        Ok(table)
    }

    /// What the program's library hears.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Whether it has no entries: then the kernel alone answers waits.
    pub fn is_empty(&self) -> bool {
        // Relaxed: a new entry matters only after the next take, which stops this thread and
        // releases it.
        self.used.load(Ordering::Relaxed) == 0
    }

    fn entry(&self, index: Index) -> &Entry {
        // An index is made below, and always within the table.
        &self.entries[index.0 % CAPACITY]
    }

    /// All indices that may be in use.
    pub fn indices(&self) -> impl Iterator<Item = Index> + use<> {
        // Acquire: pairs with the release in `enter`.
        let used = self.used.load(Ordering::Acquire) as usize;
        (0..used.min(CAPACITY)).map(Index)
    }

    /// The state of a child.
    pub fn state(&self, index: Index) -> State {
        // Acquire: a reader of the end sees all that was written before it.
        match self.entry(index).state.load(Ordering::Acquire) {
            FREE => State::Free,
            ALIVE => State::Alive,
            state if state & ENDED != 0 => State::Ended((state & 0xffff).cast_signed()),
            _ => State::Lost,
        }
    }

    /// The identity of a child.
    pub fn child(&self, index: Index) -> Child {
        let entry = self.entry(index);
        // Relaxed: written before the state, and not while anyone may wait for it.
        Child {
            pid: entry.pid.load(Ordering::Relaxed),
            group: entry.group.load(Ordering::Relaxed),
            user: entry.user.load(Ordering::Relaxed),
            handle: entry.handle.load(Ordering::Relaxed),
        }
    }

    /// The resources that it has used, once it has ended; all zero if unknown.
    pub fn usage(&self, index: Index) -> Usage {
        let words = &self.entry(index).usage;
        core::array::from_fn(|index| words[index].load(Ordering::Relaxed))
    }

    /// The unreaped child with this id.
    pub fn find_alive(&self, pid: i32) -> Option<Index> {
        self.indices().find(|&index| {
            self.entry(index).pid.load(Ordering::Relaxed) == pid
                && self.state(index) == State::Alive
        })
    }

    /// Adds a child; `None` if there is no room. Only for the supervisor.
    pub fn enter(&self, child: Child) -> Option<Index> {
        let index = (0..CAPACITY)
            .map(Index)
            .find(|&index| self.state(index) == State::Free)?;
        let entry = self.entry(index);
        entry.pid.store(child.pid, Ordering::Relaxed);
        entry.group.store(child.group, Ordering::Relaxed);
        entry.user.store(child.user, Ordering::Relaxed);
        entry.handle.store(child.handle, Ordering::Relaxed);
        entry.signalled.store(0, Ordering::Relaxed);
        entry.news.store(0, Ordering::Relaxed);
        entry.stopped_by.store(0, Ordering::Relaxed);
        for word in &entry.usage {
            word.store(0, Ordering::Relaxed);
        }
        // Release: a reader that sees it alive sees its identity.
        entry.state.store(ALIVE, Ordering::Release);
        let end = u32::try_from(index.0 + 1).unwrap_or(0);
        self.used.fetch_max(end, Ordering::Release);
        Some(index)
    }

    /// Removes a child. Only for the supervisor, and only if nobody can wait for it.
    pub fn remove(&self, index: Index) {
        self.release(index);
        self.entry(index).state.store(FREE, Ordering::Release);
        let used = (0..CAPACITY)
            .rev()
            .map(Index)
            .find(|&index| self.state(index) != State::Free)
            .map_or(0, |last| last.0 + 1);
        self.used
            .store(u32::try_from(used).unwrap_or(0), Ordering::Release);
    }

    /// Records the resources that a child has used.
    pub fn set_usage(&self, index: Index, usage: &Usage) {
        for (word, &used) in self.entry(index).usage.iter().zip(usage) {
            word.store(used, Ordering::Relaxed);
        }
    }

    /// Records how a child has ended, unless that is recorded. Only for its parent.
    pub fn end(&self, index: Index, status: i32) {
        let ended = ENDED | (status.cast_unsigned() & 0xffff);
        // Release: a reader that sees the end sees the resources. On failure nothing is read.
        let _ = self.entry(index).state.compare_exchange(
            ALIVE,
            ended,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Marks a child as gone without a known end.
    pub fn lose(&self, index: Index) {
        self.release(index);
        self.entry(index).state.store(LOST, Ordering::Release);
    }

    /// Whether the live process has adopted a child.
    pub fn is_adopted(&self, index: Index) -> bool {
        let word = &self.adopted[index.0 / 64 % WORDS];
        word.load(Ordering::Acquire) & (1 << (index.0 % 64)) != 0
    }

    /// All adopted children.
    pub fn adopted(&self) -> impl Iterator<Item = Index> {
        self.indices().filter(|&index| self.is_adopted(index))
    }

    /// Makes these children, and no others, the live process's, with no end reported yet. Only
    /// for the supervisor, while no live process runs.
    pub fn adopt(&self, indices: impl Iterator<Item = Index>) {
        let mut words = [0_u64; WORDS];
        for index in indices {
            words[index.0 / 64 % WORDS] |= 1 << (index.0 % 64);
            self.entry(index).signalled.store(0, Ordering::Relaxed);
        }
        for (word, new) in self.adopted.iter().zip(words) {
            word.store(new, Ordering::Release);
        }
        // A thread of the copy may be about to sleep on a number from another life.
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Ends an adoption, after a wait. True for the one caller that ended it.
    pub fn release(&self, index: Index) -> bool {
        let bit = 1 << (index.0 % 64);
        let word = &self.adopted[index.0 / 64 % WORDS];
        // Acquire and release: only one thread gets it, and read the entry while it owned it.
        word.fetch_and(!bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether its SIGCHLD is still due; then the caller must send it.
    pub fn is_to_be_told(&self, index: Index) -> bool {
        self.entry(index).signalled.swap(1, Ordering::AcqRel) == 0
    }

    /// The wait status of a child's unread stop or continue.
    pub fn news(&self, index: Index) -> Option<i32> {
        let news = self.entry(index).news.load(Ordering::Acquire);
        (news & NEWS != 0).then_some((news & 0xffff).cast_signed())
    }

    /// Sets or clears a child's unread stop or continue; a later one replaces it, as in the
    /// kernel. Only for the supervisor.
    pub fn set_news(&self, index: Index, status: Option<i32>) {
        let news = status.map_or(0, |status| NEWS | (status.cast_unsigned() & 0xffff));
        if let Some(status) = status.filter(|&status| status != CONTINUED) {
            self.note_stop(index, status >> 8 & 0xff);
        }
        self.entry(index).news.store(news, Ordering::Release);
    }

    /// Takes it, after a wait. True for the one caller that gets it.
    pub fn take_news(&self, index: Index, status: i32) -> bool {
        let is_it = |news: u32| news & NEWS != 0 && news & 0xffff == status.cast_unsigned();
        // Acquire and release: only one thread gets it.
        self.entry(index)
            .news
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |news| {
                is_it(news).then_some(0)
            })
            .is_ok()
    }

    /// Whether its SIGCHLD is still due; then the caller must send it.
    pub fn are_news_to_be_told(&self, index: Index) -> bool {
        let word = &self.entry(index).news;
        word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |news| {
            (news & NEWS != 0 && news & SIGNALLED == 0).then_some(news | SIGNALLED)
        })
        .is_ok()
    }

    /// Records the signal that has stopped a child.
    pub fn note_stop(&self, index: Index, signal: i32) {
        self.entry(index)
            .stopped_by
            .store(signal, Ordering::Relaxed);
    }

    /// The signal that has stopped it last; if unknown, a key's.
    pub fn stopped_by(&self, index: Index) -> i32 {
        match self.entry(index).stopped_by.load(Ordering::Relaxed) {
            0 => libc::SIGTSTP,
            signal => signal,
        }
    }

    /// Whether the live process wants no SIGCHLD of children that stop or go on.
    pub fn hides_stops(&self) -> bool {
        self.hides_stops.load(Ordering::Relaxed) != 0
    }

    /// Sets this. Only for the live process.
    pub fn hide_stops(&self, hide: bool) {
        self.hides_stops.store(u32::from(hide), Ordering::Relaxed);
    }

    /// The number of events so far. Read it before the table, and sleep on it if nothing was
    /// found.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Wakes the waits for this child, and for any.
    pub fn wake(&self, index: Index) {
        self.changes.fetch_add(1, Ordering::Release);
        sys::futex_wake_shared(&self.entry(index).state);
        sys::futex_wake_shared(&self.changes);
    }

    /// Sleeps until a living child has been reaped. It may return early.
    ///
    /// # Errors
    /// EINTR if a handler without SA_RESTART has run.
    pub fn sleep_until_ended(&self, index: Index) -> sys::Result<()> {
        sys::futex_wait_shared(&self.entry(index).state, ALIVE, None)
    }

    /// Sleeps until there is an event after `seen`, at most this long. It may return early.
    ///
    /// # Errors
    /// EINTR; with a time limit, after any handler.
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
        let index = table.enter(child(7)).expect("there is room");
        assert!(!table.is_empty());
        assert_eq!(table.find_alive(7), Some(index));
        let mut usage = Usage::default();
        usage[4] = 5;
        table.set_usage(index, &usage);
        table.end(index, 3 << 8);
        assert_eq!(table.state(index), State::Ended(3 << 8));
        assert_eq!(table.usage(index), usage);
        // Another process may have its number by now.
        assert_eq!(table.find_alive(7), None);
        table.end(index, 0);
        assert_eq!(table.state(index), State::Ended(3 << 8));
        table.remove(index);
        assert!(table.is_empty());
    }

    #[test]
    fn an_adopted_child_is_waited_for_once_a_life() {
        let table = empty();
        let indices: Vec<Index> = (1..=70)
            .map(|pid| table.enter(child(pid)).expect("there is room"))
            .collect();
        let seen = table.changes();
        table.adopt([indices[0], indices[69]].into_iter());
        assert_ne!(table.changes(), seen);
        assert_eq!(
            table.adopted().collect::<Vec<_>>(),
            [indices[0], indices[69]]
        );
        assert!(table.is_to_be_told(indices[69]));
        assert!(!table.is_to_be_told(indices[69]));
        assert!(table.release(indices[69]));
        assert!(!table.release(indices[69]));
        // In the next life everything is reported again.
        table.adopt([indices[69]].into_iter());
        assert!(!table.is_adopted(indices[0]));
        assert!(table.is_to_be_told(indices[69]));
        assert!(table.release(indices[69]));
    }

    #[test]
    fn there_is_an_end_to_its_room() {
        let table = empty();
        for pid in 1..=1024 {
            assert!(table.enter(child(pid)).is_some());
        }
        assert!(table.enter(child(1025)).is_none());
        let index = table.find_alive(500).expect("it is there");
        table.lose(index);
        assert_eq!(table.state(index), State::Lost);
        table.remove(index);
        assert_eq!(table.enter(child(1025)), Some(index));
    }
}
