//! Processor time across a revert. The kernel begins at 0 for the process and threads of a
//! revived snapshot, so differences would be negative. A take records the time used so far, and
//! a later life adds it to what the kernel says.
//!
//! The agent's functions add it. Before the first revert there is nothing to add, and they read
//! one flag.
//!
//! Limits: threads beyond the first 1,024 begin at 0, as in the kernel. A thread that gets the
//! number of an ended one begins where that one began.
//!
//! Context: AS-SAFE. Recorded by the thread that has the turn, while all others are parked;
//! set in a copy before any thread of the program runs.
#![expect(unsafe_code, reason = "reads what parked threads have written down")]

pub use crate::threads::time_used::Used;
use crate::threads::time_used::clock;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering::Relaxed};

use crate::sys;
use crate::threads::slots::{self, PARKED};

/// The most threads that are recorded.
const MOST: usize = 1024;
/// Slots of the hash table: twice as many, so that some are always free.
const PLACES: usize = 2 * MOST;

struct Cell {
    tid: AtomicI32,
    total: AtomicI64,
    user: AtomicI64,
}

impl Cell {
    const fn new() -> Self {
        Self {
            tid: AtomicI32::new(0),
            total: AtomicI64::new(0),
            user: AtomicI64::new(0),
        }
    }

    fn get(&self) -> Used {
        Used {
            total: self.total.load(Relaxed),
            user: self.user.load(Relaxed),
        }
    }

    fn set(&self, tid: i32, used: Used) {
        self.tid.store(tid, Relaxed);
        self.total.store(used.total, Relaxed);
        self.user.store(used.user, Relaxed);
    }
}

/// The process's, and that of the children it has waited for.
static RECORDED_OWN: [Cell; 2] = [const { Cell::new() }; 2];
static ADDED_OWN: [Cell; 2] = [const { Cell::new() }; 2];

/// Each thread's in the snapshot, by its number then.
static RECORDED: [Cell; MOST] = [const { Cell::new() }; MOST];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Each revived thread's, by its number now.
static ADDED: [Cell; PLACES] = [const { Cell::new() }; PLACES];

/// Whether this process is a revived snapshot.
static IS_LATER_LIFE: AtomicBool = AtomicBool::new(false);

/// Whether there is anything to add.
#[inline(always)]
pub fn is_any_added() -> bool {
    IS_LATER_LIFE.load(Relaxed)
}

/// What to add for the process.
pub fn of_process() -> Used {
    ADDED_OWN[0].get()
}

/// What to add for the children it has waited for.
pub fn of_children() -> Used {
    ADDED_OWN[1].get()
}

/// What to add for one thread.
pub fn of_thread(tid: i32) -> Used {
    place_of(tid)
        .filter(|cell| cell.tid.load(Relaxed) == tid)
        .map_or_else(Used::default, Cell::get)
}

/// The slot of a thread, used or free.
fn place_of(tid: i32) -> Option<&'static Cell> {
    let first = usize::try_from(tid).ok()? % PLACES;
    let (after, before) = ADDED.split_at(first);
    before
        .iter()
        .chain(after)
        .find(|cell| matches!(cell.tid.load(Relaxed), 0) || cell.tid.load(Relaxed) == tid)
}

/// The clock of the process, or of the calling thread. Other calls give user and system time
/// more exactly.
fn own_now(which: i32, who: i32) -> Used {
    Used {
        total: clock(which),
        user: sys::processor_times(who)[0],
    }
}

fn process_now() -> Used {
    own_now(libc::CLOCK_PROCESS_CPUTIME_ID, libc::RUSAGE_SELF)
}

fn own_thread_now() -> Used {
    own_now(libc::CLOCK_THREAD_CPUTIME_ID, libc::RUSAGE_THREAD)
}

fn children_now() -> Used {
    let [user, kernel] = sys::processor_times(libc::RUSAGE_CHILDREN);
    Used {
        total: user + kernel,
        user,
    }
}

fn sum(one: Used, other: Used) -> Used {
    Used {
        total: one.total + other.total,
        user: one.user + other.user,
    }
}

fn difference(one: Used, other: Used) -> Used {
    Used {
        total: one.total - other.total,
        user: one.user - other.user,
    }
}

/// Records the time used, before the split: that of all parked threads and of the calling one.
pub(crate) fn record() {
    RECORDED_OWN[0].set(0, sum(process_now(), of_process()));
    RECORDED_OWN[1].set(0, sum(children_now(), of_children()));
    let own = (sys::gettid(), own_thread_now());
    let others = slots::in_state(PARKED).map(|slot| {
        // SAFETY: the slot is PARKED, and this is the thread that has parked it.
        let known = unsafe { slot.known() };
        (slot.tid.load(Relaxed), known.used)
    });
    let mut count = 0;
    for (cell, (tid, now)) in RECORDED.iter().zip(core::iter::once(own).chain(others)) {
        cell.set(tid, sum(now, of_thread(tid)));
        count += 1;
    }
    COUNT.store(count, Relaxed);
}

/// In a revived copy, while its new threads wait: begins anew, like the kernel. `own` is the
/// calling thread's number in the snapshot.
pub(crate) fn revive(own: i32) {
    ADDED_OWN[0].set(0, difference(RECORDED_OWN[0].get(), process_now()));
    ADDED_OWN[1].set(0, difference(RECORDED_OWN[1].get(), children_now()));
    for cell in &ADDED {
        // Entries of the life that the copy was made in.
        if cell.tid.load(Relaxed) != 0 {
            cell.set(0, Used::default());
        }
    }
    let recorded = RECORDED.get(..COUNT.load(Relaxed)).unwrap_or(&[]);
    // They were recorded in this order.
    let mut others = slots::in_state(PARKED);
    for cell in recorded {
        let tid = cell.tid.load(Relaxed);
        let (now, used) = if tid == own {
            (sys::gettid(), difference(cell.get(), own_thread_now()))
        } else {
            let slot = others.find(|slot| slot.tid.load(Relaxed) == tid);
            let new = slot.map_or(0, |slot| slot.new_tid.load(Relaxed));
            (new, cell.get())
        };
        if now != 0
            && let Some(place) = place_of(now)
        {
            place.set(now, used);
        }
    }
    IS_LATER_LIFE.store(true, Relaxed);
}
