//! The parked thread's side. In the handler of signal 33 it records what the kernel keeps of
//! it, waits for the release, and leaves as if nothing had happened. It leaves here, or in a
//! copy, where a new thread has taken its place.
//!
//! Context: AS-SAFE. Called by [`super::takeover`]; released by [`crate::acts::park`].
#![expect(unsafe_code, reason = "parks threads in their signal handlers")]

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use libc::ucontext_t;

use super::{
    restart,
    slots::{self, ARRIVING, CALLED, FREE, PARKED, Slot},
    takeover,
};
use crate::terms::{Asleep, InterruptedCall};
use crate::threads::{
    time_used,
    timing::{self, Moment},
};
use crate::{arch, sys};

/// How many threads have arrived. The parking thread waits on this word.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
/// How many the caller waits for; the last of them wakes it.
static AWAITED: AtomicU32 = AtomicU32::new(u32::MAX);
/// Counts the releases. Parked threads wait on this word.
static RELEASED: AtomicU32 = AtomicU32::new(0);
/// How many have been released and are still in their handlers.
static LEAVING: AtomicU32 = AtomicU32::new(0);

/// Nothing to do while parked.
const NO_TASK: u32 = 0;
/// Do the work in [`TASK`].
const TASK_WAITS: u32 = 1;
/// The work is done.
const TASK_DONE: u32 = 2;

/// Work that only the thread itself can do, while it is parked.
pub(crate) type Task = fn(&Slot);

/// The task of the one thread whose slot says that a task waits; else null.
static TASK: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Resets the counts, before any thread is called.
pub(crate) fn expect_arrivals() {
    ARRIVED.store(0, Ordering::Relaxed);
    AWAITED.store(u32::MAX, Ordering::Relaxed);
}

/// The thread of this slot waits for the next release.
pub(crate) fn expect_release(slot: &Slot) {
    slot.release
        .store(RELEASED.load(Ordering::Acquire), Ordering::Relaxed);
}

/// Whether released threads are still leaving.
pub(crate) fn are_leaving() -> bool {
    LEAVING.load(Ordering::Acquire) != 0
}

/// Waits until this many have arrived, or for a while.
pub(crate) fn wait_for(awaited: u32, scan: u32) {
    let at_most_ns = if scan < 4 { 1_000_000 } else { 5_000_000 };
    let until_ns = sys::now_ns() + at_most_ns;
    // Sequentially consistent with the two in `wait`: either this thread sees the last arrival,
    // or the last arrival sees what is awaited.
    AWAITED.store(awaited, Ordering::SeqCst);
    if ARRIVED.load(Ordering::SeqCst) >= awaited && scan > 1 {
        // All threads that were called are here, and the list still changes.
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

/// Lets every parked thread go on, and puts libc's handler back.
pub(crate) fn release() {
    let mut leaving = 0;
    for slot in slots::all() {
        // A thread that was called and has not come finds that nobody waits for it.
        let called = slot
            .state
            .compare_exchange(CALLED, FREE, Ordering::AcqRel, Ordering::Acquire);
        leaving += u32::from(matches!(called, Err(ARRIVING | PARKED)));
    }
    if leaving != 0 {
        LEAVING.fetch_add(leaving, Ordering::AcqRel);
    }
    let waking = waking();
    WAKING.store(waking, Ordering::Relaxed);
    RELEASED.fetch_add(1, Ordering::AcqRel);
    sys::futex_wake(&RELEASED, waking);
    takeover::remove();
}

/// How many others each leaving thread wakes, so that the releasing thread is free after the
/// first few.
const SPREAD: i32 = 2;

/// How many others each leaving thread is to wake.
static WAKING: AtomicI32 = AtomicI32::new(0);

/// How many threads the releasing thread, and each released one, wakes at once: all if they
/// can't be left to wake each other.
pub(crate) fn waking() -> i32 {
    if wake_each_other() { SPREAD } else { i32::MAX }
}

/// Whether threads can wake each other: not if one of them might get no processor for long,
/// since the threads after it would wait too.
fn wake_each_other() -> bool {
    slots::in_state(PARKED).all(|slot| {
        // SAFETY: the slot is PARKED, and this is the thread that has parked it.
        unsafe { slot.known() }.state.is_scheduled_as_usual()
    })
}

/// In a revived copy: threads leave by themselves once they are made again.
pub(crate) fn expect_to_leave(threads: u32) {
    LEAVING.store(threads, Ordering::Release);
}

/// Has a parked thread do a task, and waits until it is done. One thread at a time.
pub(crate) fn have_done(slot: &Slot, task: Task) {
    TASK.store(task as *mut c_void, Ordering::Relaxed);
    // Release: a thread that sees the state sees the task too.
    slot.task.store(TASK_WAITS, Ordering::Release);
    // All parked threads look, and all but this one sleep again.
    sys::futex_wake(&RELEASED, i32::MAX);
    while slot.task.load(Ordering::Acquire) != TASK_DONE {
        sys::futex_wait(&slot.task, TASK_WAITS, Some(1_000_000));
    }
    slot.task.store(NO_TASK, Ordering::Relaxed);
}

fn do_task(slot: &Slot) {
    // SAFETY: what `have_done` was given, or null.
    let task =
        unsafe { core::mem::transmute::<*mut c_void, Option<Task>>(TASK.load(Ordering::Relaxed)) };
    if let Some(task) = task {
        task(slot);
    }
}

/// A thread's part, in its signal handler.
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
        // The signal came too late, and nobody waits for this thread. SAFETY: the caller's
        // promise.
        unsafe { restart::restart(context, takeover::SIGNAL, &InterruptedCall::default(), None) };
        return;
    }
    // SAFETY: the slot is ARRIVING, so it is this thread's.
    let known = unsafe { slot.known() };
    // SAFETY: the caller's promise.
    known.elapsed_ns =
        unsafe { restart::elapsed_ns(context, &known.interrupted_call, Asleep::now) };
    if known.state.record_here().is_err() {
        // SAFETY: as above.
        unsafe {
            restart::restart(
                context,
                takeover::SIGNAL,
                &known.interrupted_call,
                known.elapsed_ns,
            )
        };
        // The kernel doesn't give the thread's state. The thread is called again; if that keeps
        // failing, the take names it.
        slot.state.store(FREE, Ordering::Release);
        return;
    }
    known.used = time_used::parking_thread_now();
    slot.arrived_ns.store(sys::now_ns(), Ordering::Relaxed);
    // SAFETY: the slot stays where it is, here and in every copy.
    unsafe { arch::park(slot.place(), wait) };
    // Here, or in a copy, where a new thread has taken this one's place. SAFETY: the slot is
    // this thread's until it has left.
    let known = unsafe { slot.known() };
    let is_original = slot.new_tid.load(Ordering::Relaxed) == 0;
    let parked_ns = sys::now_ns().saturating_sub(slot.arrived_ns.load(Ordering::Relaxed));
    // A copy goes on from the moment when it was made.
    let parked_ns = if is_original { parked_ns } else { 0 };
    let elapsed_ns = known.elapsed_ns.map(|elapsed_ns| elapsed_ns + parked_ns);
    // SAFETY: the caller's promise.
    unsafe {
        restart::restart(
            context,
            takeover::SIGNAL,
            &known.interrupted_call,
            elapsed_ns,
        )
    };
    if LEAVING.fetch_sub(1, Ordering::AcqRel) == 1 {
        timing::mark(Moment::Out);
    }
}

/// Where a parked thread waits.
unsafe extern "C" fn wait(place: *mut c_void) {
    let Some(slot) = slots::by_address(place.addr()) else {
        return;
    };
    let release = slot.release.load(Ordering::Acquire);
    slot.state.store(PARKED, Ordering::Release);
    let arrived = ARRIVED.fetch_add(1, Ordering::SeqCst) + 1;
    if arrived == AWAITED.load(Ordering::SeqCst) {
        sys::futex_wake(&ARRIVED, 1);
    }
    while RELEASED.load(Ordering::Acquire) == release {
        if slot.task.load(Ordering::Acquire) == TASK_WAITS {
            do_task(slot);
            slot.task.store(TASK_DONE, Ordering::Release);
            sys::futex_wake(&slot.task, 1);
        }
        sys::futex_wait(&RELEASED, release, None);
    }
    let waking = WAKING.load(Ordering::Relaxed);
    if waking != i32::MAX {
        sys::futex_wake(&RELEASED, waking);
    }
}
