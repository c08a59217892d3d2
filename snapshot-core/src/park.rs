//! Park: bring every thread to a known point before the copy is made, and let them go.
//!
//! Each thread but the caller is sent signal 33, whose handler is ours for that time. In
//! it the thread writes down what the kernel keeps of it and waits. The list of threads
//! is read again until nobody new is on it and all that are have come. Who does not come
//! in time is named, and everybody goes on as if nothing had been.
//!
//! Context: AS-SAFE. Called by [`crate::take`] and [`crate::classic`], before
//! [`crate::split`].
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::expect_used,
        clippy::unwrap_used
    )
)]
#![expect(unsafe_code, reason = "parks threads in their signal handlers")]

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use libc::ucontext_t;

use crate::arch;
use crate::objects;
use crate::proc_text;
use crate::procfs::{self, TaskFile};
use crate::sys::{self, Errno};
use crate::threads::glimpse::{Asleep, Glimpse};
use crate::threads::restart;
use crate::threads::roll::{
    self, ARRIVING, CALLED, FREE, GONE, PARKED, Slot, WORKER, Walk, ZOMBIE,
};
use crate::threads::{layout, takeover};
use crate::timing::{self, Moment};
use crate::wire::{Hindrance, Obstacle, Step, Thread};

/// One attempt, and how many there are: long enough for a thread that starts another
/// program by vfork, and short enough for a program that stands still meanwhile.
const ATTEMPT_NS: u64 = 300_000_000;
const ATTEMPTS: u32 = 3;
/// In between, for what could not be interrupted to come to its end.
const BREATH_NS: u64 = 30_000_000;
/// After so long a thread that has not come is looked at more closely.
const LOOK_CLOSER_NS: u64 = 2_000_000;

/// How many threads have arrived; a word to wait at.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
/// How many the caller waits for: the last of them wakes it.
static AWAITED: AtomicU32 = AtomicU32::new(u32::MAX);
/// Counts the releases; the word that parked threads wait at.
static RELEASED: AtomicU32 = AtomicU32::new(0);
/// How many have been released and are not out of their handlers yet.
static LEAVING: AtomicU32 = AtomicU32::new(0);

/// Nothing to do while parked.
pub(crate) const NO_ERRAND: u32 = 0;
/// Write down, and put back, the signals that wait for this thread alone.
pub(crate) const TELL_PENDING: u32 = 1;
/// It has been done.
pub(crate) const ERRAND_DONE: u32 = 2;

/// What has been parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The program's threads, the caller among them.
    pub(crate) threads: u32,
    /// Threads of the kernel's, which were left alone.
    pub(crate) workers: u32,
}

/// Parks every thread but the calling one.
///
/// # Errors
/// [`Obstacle::Unparked`] with the one that did not come, and nothing is parked.
pub(crate) fn park() -> Result<Parked, Obstacle> {
    let failed = |errno: Errno| Obstacle::Failed(Step::Park, errno.0);
    let tasks = sys::open_to_read(c"/proc/self/task", libc::O_DIRECTORY).map_err(failed)?;
    let mut attempts = 0;
    let outcome = loop {
        attempts += 1;
        let outcome = attempt(tasks, sys::now_ns() + ATTEMPT_NS);
        match outcome {
            Err(obstacle) => {
                release();
                let again = matches!(obstacle, Obstacle::Unparked(_)) && attempts < ATTEMPTS;
                if !again {
                    break Err(obstacle);
                }
                sys::pause_ns(BREATH_NS);
            }
            parked => break parked,
        }
    };
    sys::close(tasks);
    outcome
}

fn attempt(tasks: i32, deadline_ns: u64) -> Result<Parked, Obstacle> {
    let own = sys::gettid();
    // Slots may be given away again only when nobody is on the way out with one.
    while LEAVING.load(Ordering::Acquire) != 0 {
        if sys::now_ns() >= deadline_ns {
            return Err(unparked(tasks, slowest_to_leave(own)));
        }
        sys::pause_ns(20_000);
    }
    roll::clear();
    ARRIVED.store(0, Ordering::Relaxed);
    AWAITED.store(u32::MAX, Ordering::Relaxed);
    let mut look_closer_ns = sys::now_ns() + LOOK_CLOSER_NS;
    let mut scan = 0;
    loop {
        scan += 1;
        let called = call_everybody(tasks, own, scan)?;
        forget_ended(scan);
        let underway = count(CALLED) + count(ARRIVING);
        let missing = underway + count(FREE);
        let parked = count(PARKED);
        if called == 0 && missing == 0 {
            return Ok(Parked {
                threads: parked + 1,
                workers: count(WORKER),
            });
        }
        let now = sys::now_ns();
        if now >= deadline_ns {
            let missing = roll::in_state(CALLED).chain(roll::in_state(FREE)).next();
            return Err(match missing {
                Some(slot) => unparked(tasks, slot.tid.load(Ordering::Relaxed)),
                // New ones have come up faster than they could be called.
                None => Obstacle::Failed(Step::Park, libc::EAGAIN),
            });
        }
        if now >= look_closer_ns {
            look_closer(tasks);
            look_closer_ns = now + 10 * LOOK_CLOSER_NS;
        }
        wait_for(parked + underway, scan);
    }
}

/// Those that the last scan has not seen have ended.
fn forget_ended(scan: u32) {
    for slot in roll::all().filter(|slot| slot.scan.load(Ordering::Relaxed) != scan) {
        let called = slot
            .state
            .compare_exchange(CALLED, GONE, Ordering::AcqRel, Ordering::Acquire);
        match called {
            // Its end has taken the signal along.
            Ok(_) => takeover::forget_one(),
            Err(FREE) => slot.state.store(GONE, Ordering::Release),
            Err(_) => {}
        }
    }
}

fn count(state: u32) -> u32 {
    u32::try_from(roll::in_state(state).count()).unwrap_or(u32::MAX)
}

/// Sends the signal to every thread on the list that has not got it. Gives how many.
fn call_everybody(tasks: i32, own: i32, scan: u32) -> Result<u32, Obstacle> {
    let mut walk = Walk::begin();
    let mut called = 0;
    let mut outcome = Ok(());
    let listed = procfs::for_each_number_in(tasks, |tid| {
        if tid == own || outcome.is_err() {
            return;
        }
        let Some(slot) = walk.find_or_add(tid) else {
            outcome = Err(Obstacle::TooManyThreads(roll::MOST));
            return;
        };
        slot.scan.store(scan, Ordering::Relaxed);
        // A number that has been given to a new thread meanwhile.
        if slot.is(GONE) {
            slot.state.store(FREE, Ordering::Relaxed);
        }
        if slot.is(FREE) {
            match call(tasks, slot, tid) {
                Ok(true) => called += 1,
                Ok(false) => {}
                Err(obstacle) => outcome = Err(obstacle),
            }
        }
    });
    outcome?;
    listed.map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
    Ok(called)
}

/// Sends one thread the signal; false where that could not be done now.
fn call(tasks: i32, slot: &'static Slot, tid: i32) -> Result<bool, Obstacle> {
    if let Some(disagreement) = layout::disagreement() {
        return Err(Obstacle::Libc(disagreement));
    }
    takeover::install().map_err(|errno| Obstacle::Failed(Step::Park, errno.0))?;
    // SAFETY: the slot is FREE, so it is ours.
    let known = unsafe { slot.known() };
    known.glimpse = Glimpse::of(tasks, tid);
    known.elapsed_ns = None;
    slot.release
        .store(RELEASED.load(Ordering::Acquire), Ordering::Relaxed);
    slot.state.store(CALLED, Ordering::Release);
    match takeover::send(tid, slot.place().addr()) {
        Ok(()) => Ok(true),
        // It has ended since the list was read.
        Err(Errno(libc::ESRCH)) => {
            slot.state.store(GONE, Ordering::Release);
            Ok(false)
        }
        // No more signals can be queued just now.
        Err(Errno(libc::EAGAIN)) => {
            slot.state.store(FREE, Ordering::Release);
            Ok(false)
        }
        Err(errno) => Err(Obstacle::Failed(Step::Park, errno.0)),
    }
}

/// Looks at those that have not come: some never can, and need not.
fn look_closer(tasks: i32) {
    let mut buffer = [0; 320];
    for slot in roll::in_state(CALLED) {
        let tid = slot.tid.load(Ordering::Relaxed);
        let Some(stat) =
            procfs::read_task(tasks, tid, TaskFile::Stat, &mut buffer).and_then(proc_text::stat)
        else {
            continue;
        };
        let state = if stat.is_kernel_worker() {
            WORKER
        } else if matches!(stat.state, b'Z' | b'X') {
            ZOMBIE
        } else {
            continue;
        };
        // It may have come after all.
        if slot
            .state
            .compare_exchange(CALLED, state, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            takeover::forget_one();
        }
    }
}

/// Waits until so many have arrived, or for a while.
fn wait_for(awaited: u32, scan: u32) {
    let at_most_ns = if scan < 4 { 1_000_000 } else { 5_000_000 };
    let until_ns = sys::now_ns() + at_most_ns;
    // Sequentially consistent with the two in `wait`: either this one sees the last
    // arrival, or that one sees what is awaited.
    AWAITED.store(awaited, Ordering::SeqCst);
    if ARRIVED.load(Ordering::SeqCst) >= awaited && scan > 1 {
        // All that were called are here, and the list still changes.
        sys::pause_ns(50_000);
    }
    loop {
        let arrived = ARRIVED.load(Ordering::SeqCst);
        let now = sys::now_ns();
        if arrived >= awaited || now >= until_ns {
            return;
        }
        sys::futex_wait(&ARRIVED, arrived, Some(until_ns - now));
    }
}

/// Why this thread has not come.
pub(crate) fn unparked(tasks: i32, tid: i32) -> Obstacle {
    let mut buffer = [0; 2048];
    let mut thread = Thread {
        tid,
        name: [0; 16],
        why: Hindrance::Silent,
    };
    let Some(status) = procfs::read_task(tasks, tid, TaskFile::Status, &mut buffer) else {
        return Obstacle::Unparked(thread);
    };
    let name = proc_text::field(status, "Name:").unwrap_or(b"");
    let length = name.len().min(15);
    thread.name[..length].copy_from_slice(&name[..length]);
    let state = proc_text::field(status, "State:").and_then(|state| state.first().copied());
    let blocks = proc_text::signals(status, "SigBlk:")
        .is_some_and(|set| set.meets(sys::SignalSet::only(takeover::SIGNAL)));
    thread.why = match state {
        Some(b'T' | b't') => Hindrance::Stopped,
        Some(b'D') => {
            let call = procfs::read_task(tasks, tid, TaskFile::Syscall, &mut buffer)
                .and_then(proc_text::doing);
            match call {
                Some(proc_text::Doing::Call(call)) => Hindrance::InKernel(call.number),
                _ => Hindrance::InKernel(-1),
            }
        }
        _ if blocks => Hindrance::BlocksAll,
        _ => Hindrance::Silent,
    };
    Obstacle::Unparked(thread)
}

fn slowest_to_leave(own: i32) -> i32 {
    roll::in_state(PARKED)
        .next()
        .map_or(own, |slot| slot.tid.load(Ordering::Relaxed))
}

/// Lets every parked thread go on, and puts libc's handler back.
pub(crate) fn release() {
    let mut leaving = 0;
    for slot in roll::all() {
        // Whoever was called and has not come finds that nobody waits for it.
        let called = slot
            .state
            .compare_exchange(CALLED, FREE, Ordering::AcqRel, Ordering::Acquire);
        leaving += u32::from(matches!(called, Err(ARRIVING | PARKED)));
    }
    if leaving != 0 {
        LEAVING.fetch_add(leaving, Ordering::AcqRel);
    }
    let waking = if wake_each_other() { SPREAD } else { i32::MAX };
    WAKING.store(waking, Ordering::Relaxed);
    RELEASED.fetch_add(1, Ordering::AcqRel);
    sys::futex_wake(&RELEASED, waking);
    takeover::remove();
}

/// How many others each thread wakes that is on its way out, so that the one which releases
/// them is free after the first few.
const SPREAD: i32 = 2;

/// How many the threads on their way out are to wake.
static WAKING: AtomicI32 = AtomicI32::new(0);

/// Whether threads can be left to wake each other: not where one of them might get no
/// processor for long, and those after it with it.
fn wake_each_other() -> bool {
    roll::in_state(PARKED).all(|slot| {
        // SAFETY: the slot is PARKED, and this is the thread that has parked it.
        unsafe { slot.known() }.state.is_scheduled_as_usual()
    })
}

/// In a copy that comes back to life: those that were parked leave when they are made
/// again, by themselves.
pub(crate) fn expect_to_leave(threads: u32) {
    LEAVING.store(threads, Ordering::Release);
}

/// Has a parked thread do something, and waits until it has.
pub(crate) fn send_on_errand(slot: &Slot, errand: u32) {
    slot.errand.store(errand, Ordering::Release);
    // They all look, and all but this one go back to sleep.
    sys::futex_wake(&RELEASED, i32::MAX);
    while slot.errand.load(Ordering::Acquire) != ERRAND_DONE {
        sys::futex_wait(&slot.errand, errand, Some(1_000_000));
    }
    slot.errand.store(NO_ERRAND, Ordering::Relaxed);
}

/// A thread's part, in its handler.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub(crate) unsafe fn answer(slot: &'static Slot, context: *mut ucontext_t) {
    let tid = sys::gettid();
    let is_awaited = slot.tid.load(Ordering::Relaxed) == tid
        && slot
            .state
            .compare_exchange(CALLED, ARRIVING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
    if !is_awaited {
        // It has come too late, and nobody waits for it any more.
        // SAFETY: the caller's promise.
        unsafe { restart::restart_interrupted_call(context) };
        return;
    }
    // SAFETY: the slot is ARRIVING, so it is this thread's.
    let known = unsafe { slot.known() };
    if known.state.record_here().is_err() {
        // The kernel can't tell what is needed. It is called again, and if that goes on
        // the take names this thread.
        slot.state.store(FREE, Ordering::Release);
        return;
    }
    // SAFETY: the caller's promise.
    known.elapsed_ns = unsafe { restart::elapsed_ns(context, &known.glimpse, Asleep::now) };
    slot.arrived_ns.store(sys::now_ns(), Ordering::Relaxed);
    slot.context.store(context, Ordering::Relaxed);
    // SAFETY: the slot stays where it is, here and in every copy.
    unsafe { arch::park(slot.place(), wait) };
    // Here, or in a copy, where another thread has taken this one's place.
    // SAFETY: the slot is this thread's until it has left.
    let known = unsafe { slot.known() };
    let is_original = slot.new_tid.load(Ordering::Relaxed) == 0;
    let parked_ns = sys::now_ns().saturating_sub(slot.arrived_ns.load(Ordering::Relaxed));
    // A copy goes on from the moment at which it was made.
    let parked_ns = if is_original { parked_ns } else { 0 };
    let elapsed_ns = known.elapsed_ns.map(|elapsed_ns| elapsed_ns + parked_ns);
    // SAFETY: the caller's promise.
    unsafe { restart::restart(context, &known.glimpse, elapsed_ns) };
    if LEAVING.fetch_sub(1, Ordering::AcqRel) == 1 {
        timing::mark(Moment::Out);
    }
}

/// Where a parked thread waits.
unsafe extern "C" fn wait(place: *mut c_void) {
    let Some(slot) = roll::by_address(place.addr()) else {
        return;
    };
    let release = slot.release.load(Ordering::Acquire);
    slot.state.store(PARKED, Ordering::Release);
    let arrived = ARRIVED.fetch_add(1, Ordering::SeqCst) + 1;
    if arrived == AWAITED.load(Ordering::SeqCst) {
        sys::futex_wake(&ARRIVED, 1);
    }
    while RELEASED.load(Ordering::Acquire) == release {
        if slot.errand.load(Ordering::Acquire) == TELL_PENDING {
            objects::tell_pending(slot);
            slot.errand.store(ERRAND_DONE, Ordering::Release);
            sys::futex_wake(&slot.errand, 1);
        }
        sys::futex_wait(&RELEASED, release, None);
    }
    let waking = WAKING.load(Ordering::Relaxed);
    if waking != i32::MAX {
        sys::futex_wake(&RELEASED, waking);
    }
}
