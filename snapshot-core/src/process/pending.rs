//! Signals that wait to be delivered: a copy has none of them. Some wait for the whole
//! process, others for one thread alone, and each carries what its sender gave it.
//!
//! The kernel shows which signals wait, but hands out what they carry only as it takes
//! them off the queue. So they are taken off, written down and put back at once, in the
//! same order, by the very thread that they wait for; and only where some wait, which is
//! rare.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "shares a record with the thread that writes it")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
    records::Records,
};
use crate::sys::{self, Errno, SignalInfo, SignalSet};
use crate::threads::{
    parked,
    slots::{self, PARKED, Slot},
    takeover,
};

/// The most that can wait: more are refused.
const MOST: usize = 16_384;

/// The signal by which threads are parked is nobody else's.
const PARKING: SignalSet = SignalSet::only(takeover::SIGNAL);

/// A signal, and for which thread it waits; 0 for the process.
type Waiting = (i32, SignalInfo);

/// The signals that wait.
pub(super) struct Pending {
    records: Records<Waiting>,
}

/// What threads that are made again take back.
static PUBLISHED: AtomicPtr<Records<Waiting>> = AtomicPtr::new(ptr::null_mut());
/// How many signals could not be taken back.
static NOT_TAKEN_BACK: AtomicU32 = AtomicU32::new(0);

/// The part of a thread that was made in the stead of `tid`, all signals blocked.
pub(crate) fn take_back_pending(tid: i32) {
    // SAFETY: published for as long as threads are being made, by the thread that makes
    // them, which does not change it meanwhile.
    let Some(records) = (unsafe { PUBLISHED.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    for waiting in records.entries().iter().filter(|waiting| waiting.0 == tid) {
        if put_back(waiting, sys::gettid()).is_err() {
            NOT_TAKEN_BACK.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Where the thread that has been asked writes.
static DESK: AtomicPtr<Desk> = AtomicPtr::new(ptr::null_mut());

struct Desk {
    records: Records<Waiting>,
    /// Signals that may be the session's own, and which of them are.
    kept: SignalSet,
    is_kept: fn(&SignalInfo) -> bool,
    outcome: Result<(), Errno>,
}

impl Desk {
    /// Takes the calling thread's signals of `set` off their queue and puts them back, as
    /// those of `tid`, or of the process.
    fn copy(&mut self, set: SignalSet, tid: i32) -> Result<(), Errno> {
        let first = self.records.entries().len();
        let mut outcome = Ok(());
        while let Some(info) = sys::take_pending_info(set) {
            if outcome.is_ok() {
                outcome = self.records.push((tid, info));
            }
            if outcome.is_err() {
                // It is not lost: there is room in the queue that it has just left.
                put_back(&(tid, info), tid)?;
                break;
            }
        }
        for waiting in self.records.entries().iter().skip(first) {
            put_back(waiting, tid)?;
        }
        // They wait again; in the record they are not.
        let (kept, is_kept) = (self.kept, self.is_kept);
        self.records.retain_from(first, |(_, info)| {
            !kept.meets(SignalSet::only(info.signal())) || !is_kept(info)
        });
        outcome
    }
}

fn put_back((_, info): &Waiting, tid: i32) -> Result<(), Errno> {
    if tid == 0 {
        sys::queue_to_self(info)
    } else {
        sys::queue_to_thread(tid, info)
    }
}

/// What waits for a thread.
struct Sets {
    /// For it alone.
    private: SignalSet,
    /// For the whole process.
    shared: SignalSet,
    /// How many signals wait for all processes of this user.
    queued: i64,
}

fn sets(tasks: i32, tid: i32) -> Result<Sets, Errno> {
    let mut buffer = [0; 2048];
    let status = procfs::read_task(tasks, tid, TaskFile::Status, &mut buffer)?;
    let signals = |name| proc_text::signals(status, name).ok_or(procfs::SILENT);
    Ok(Sets {
        private: signals("SigPnd:")?,
        shared: signals("ShdPnd:")?,
        queued: proc_text::queued_signals(status).ok_or(procfs::SILENT)?,
    })
}

/// Whether every parked thread is of the calling one's user.
fn all_are_of_one_user() -> bool {
    let own = sys::credentials();
    // SAFETY: the slots are PARKED, and this is the thread that has parked them.
    slots::in_state(PARKED).all(|slot| unsafe { slot.known() }.state.has_credentials(&own))
}

impl Pending {
    /// # Errors
    /// Where `/proc` can't be read, or there is no room for the record.
    pub(super) fn record(kept: SignalSet, is_kept: fn(&SignalInfo) -> bool) -> Result<Self, Errno> {
        let mut desk = Desk {
            records: Records::new(MOST),
            kept,
            is_kept,
            outcome: Ok(()),
        };
        let has_others = slots::in_state(PARKED).next().is_some();
        if has_others || !sys::pending().without(PARKING).is_empty() {
            let tasks = procfs::open_tasks()?;
            let outcome = look_at_all(tasks, &mut desk);
            sys::close(tasks);
            outcome?;
        }
        Ok(Self {
            records: desk.records,
        })
    }

    /// Has every thread that is made from now on take back what waited for it: a signal
    /// of some origins only the thread itself can put back.
    pub(super) fn publish(&self) {
        let records = ptr::from_ref(&self.records).cast_mut();
        PUBLISHED.store(records, Ordering::Release);
        NOT_TAKEN_BACK.store(0, Ordering::Relaxed);
    }

    /// Puts back what waited for the process, and for the calling thread, which was this
    /// one. All threads have been made. Gives the number of those that could not be put
    /// back.
    pub(super) fn restore(&self, own: i32) -> u32 {
        PUBLISHED.store(ptr::null_mut(), Ordering::Release);
        let mut failed = NOT_TAKEN_BACK.load(Ordering::Acquire);
        for waiting in self.records.entries() {
            let put = match waiting.0 {
                0 => put_back(waiting, 0),
                tid if tid == own => put_back(waiting, sys::gettid()),
                _ => continue,
            };
            failed += u32::from(put.is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        self.records.release();
    }
}

fn look_at_all(tasks: i32, desk: &mut Desk) -> Result<(), Errno> {
    let own = sys::gettid();
    let sets_of = |tid| sets(tasks, tid);
    let first = sets_of(own)?;
    let private = first.private.without(PARKING);
    let shared = first.shared.without(PARKING);
    if !private.is_empty() {
        desk.copy(private, own)?;
    }
    // A signal that waits for both was copied as this thread's, which is one of the
    // process's threads.
    let shared = shared.without(private);
    if !shared.is_empty() {
        desk.copy(shared, 0)?;
    }
    // The kernel counts what is queued by user. Where that is nothing no thread has any, and
    // need not be looked at.
    if first.queued == 0 && all_are_of_one_user() {
        return Ok(());
    }
    for slot in slots::in_state(PARKED) {
        let tid = slot.tid.load(Ordering::Relaxed);
        if sets_of(tid)?.private.without(PARKING).is_empty() {
            continue;
        }
        DESK.store(ptr::from_mut(desk), Ordering::Release);
        parked::have_done(slot, tell_pending);
        DESK.store(ptr::null_mut(), Ordering::Release);
        core::mem::replace(&mut desk.outcome, Ok(()))?;
    }
    Ok(())
}

/// The part of a parked thread that signals wait for.
fn tell_pending(slot: &Slot) {
    // SAFETY: set for as long as the leader waits for this thread, and the leader
    // does not touch it meanwhile.
    let Some(desk) = (unsafe { DESK.load(Ordering::Acquire).as_mut() }) else {
        return;
    };
    let tid = slot.tid.load(Ordering::Relaxed);
    let outcome = match procfs::open_tasks() {
        Ok(tasks) => {
            let private = sets(tasks, tid).map(|sets| sets.private.without(PARKING));
            sys::close(tasks);
            private.and_then(|private| desk.copy(private, tid))
        }
        Err(errno) => Err(errno),
    };
    desk.outcome = outcome;
}
