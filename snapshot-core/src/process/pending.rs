//! Pending signals, which a copy doesn't have. Some wait for the process, others for one
//! thread, and each carries data from its sender.
//!
//! The kernel shows which signals wait, but gives their data only as it takes them off the
//! queue. So the very thread that they wait for takes them off, records them and puts them back
//! at once, in the same order. That happens only if some wait, which is rare.
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

/// The most that can wait; more are refused.
const MOST: usize = 16_384;

/// The engine alone uses the signal that parks threads.
const PARKING: SignalSet = SignalSet::only(takeover::SIGNAL);

/// A signal and the thread that it waits for; 0 for the process.
type Waiting = (i32, SignalInfo);

/// The pending signals.
pub(super) struct Pending {
    records: Records<Waiting>,
}

/// The records that new threads take back.
static PUBLISHED: AtomicPtr<Records<Waiting>> = AtomicPtr::new(ptr::null_mut());
/// How many signals could not be put back.
static NOT_TAKEN_BACK: AtomicU32 = AtomicU32::new(0);

/// The part of a new thread that replaces `tid`, with all signals blocked.
pub(crate) fn take_back_pending(tid: i32) {
    // SAFETY: published while threads are being made, by the thread that makes them, which
    // doesn't change it meanwhile.
    let Some(records) = (unsafe { PUBLISHED.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    for waiting in records.entries().iter().filter(|waiting| waiting.0 == tid) {
        if put_back(waiting, sys::gettid()).is_err() {
            NOT_TAKEN_BACK.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The record that the asked thread writes to.
static REQUEST: AtomicPtr<Request> = AtomicPtr::new(ptr::null_mut());

struct Request {
    records: Records<Waiting>,
    /// Signals that may be the session's own.
    kept: SignalSet,
    is_kept: fn(&SignalInfo) -> bool,
    outcome: Result<(), Errno>,
}

impl Request {
    /// Takes the calling thread's signals of `set` off their queue and puts them back, as
    /// signals for `tid` or for the process.
    fn copy(&mut self, set: SignalSet, tid: i32) -> Result<(), Errno> {
        let first = self.records.entries().len();
        let mut outcome = Ok(());
        while let Some(info) = sys::take_pending_info(set) {
            if outcome.is_ok() {
                outcome = self.records.push((tid, info));
            }
            if outcome.is_err() {
                // It is not lost: its room in the queue is free again.
                put_back(&(tid, info), tid)?;
                break;
            }
        }
        for waiting in self.records.entries().iter().skip(first) {
            put_back(waiting, tid)?;
        }
        // They are pending again, but not in the record.
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

/// The signals pending for a thread.
struct Sets {
    /// For this thread alone.
    private: SignalSet,
    /// For the whole process.
    shared: SignalSet,
    /// How many signals are pending for all of this user's processes.
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

/// Whether every parked thread has the calling thread's user.
fn all_are_of_one_user() -> bool {
    let own = sys::credentials();
    // SAFETY: the slots are PARKED, and this is the thread that has parked them.
    slots::in_state(PARKED).all(|slot| unsafe { slot.known() }.state.has_credentials(&own))
}

impl Pending {
    /// # Errors
    /// If `/proc` can't be read, or if there is no room for the record.
    pub(super) fn record(kept: SignalSet, is_kept: fn(&SignalInfo) -> bool) -> Result<Self, Errno> {
        let mut request = Request {
            records: Records::new(MOST),
            kept,
            is_kept,
            outcome: Ok(()),
        };
        let has_others = slots::in_state(PARKED).next().is_some();
        if has_others || !sys::pending().without(PARKING).is_empty() {
            let tasks = procfs::open_tasks()?;
            let outcome = look_at_all(tasks, &mut request);
            sys::close(tasks);
            outcome?;
        }
        Ok(Self {
            records: request.records,
        })
    }

    /// Has every new thread take back its signals: some kinds of signals only the thread itself
    /// can put back.
    pub(super) fn publish(&self) {
        let records = ptr::from_ref(&self.records).cast_mut();
        PUBLISHED.store(records, Ordering::Release);
        NOT_TAKEN_BACK.store(0, Ordering::Relaxed);
    }

    /// Puts back the process's signals, and those of the calling thread, which was `own`. All
    /// threads have been made. Returns how many failed.
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

fn look_at_all(tasks: i32, request: &mut Request) -> Result<(), Errno> {
    let own = sys::gettid();
    let sets_of = |tid| sets(tasks, tid);
    let first = sets_of(own)?;
    let private = first.private.without(PARKING);
    let shared = first.shared.without(PARKING);
    if !private.is_empty() {
        request.copy(private, own)?;
    }
    // A signal pending for both was copied as this thread's, which belongs to the process.
    let shared = shared.without(private);
    if !shared.is_empty() {
        request.copy(shared, 0)?;
    }
    // The kernel counts queued signals by user. At 0 no thread has any, and none need be asked.
    if first.queued == 0 && all_are_of_one_user() {
        return Ok(());
    }
    for slot in slots::in_state(PARKED) {
        let tid = slot.tid.load(Ordering::Relaxed);
        if sets_of(tid)?.private.without(PARKING).is_empty() {
            continue;
        }
        REQUEST.store(ptr::from_mut(request), Ordering::Release);
        parked::have_done(slot, tell_pending);
        REQUEST.store(ptr::null_mut(), Ordering::Release);
        core::mem::replace(&mut request.outcome, Ok(()))?;
    }
    Ok(())
}

/// The part of a parked thread with pending signals.
fn tell_pending(slot: &Slot) {
    // SAFETY: set while the leader waits for this thread, and the leader doesn't touch it
    // meanwhile.
    let Some(request) = (unsafe { REQUEST.load(Ordering::Acquire).as_mut() }) else {
        return;
    };
    let tid = slot.tid.load(Ordering::Relaxed);
    let outcome = match procfs::open_tasks() {
        Ok(tasks) => {
            let private = sets(tasks, tid).map(|sets| sets.private.without(PARKING));
            sys::close(tasks);
            private.and_then(|private| request.copy(private, tid))
        }
        Err(errno) => Err(errno),
    };
    request.outcome = outcome;
}
