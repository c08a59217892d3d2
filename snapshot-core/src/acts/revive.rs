//! Revive: in a copy, make again every thread that was parked when the copy was made.
//!
//! Each new thread starts on the parked one's stack, with its thread-local storage. It
//! registers itself with the kernel as the parked one had, and waits at a gate. When all are
//! there they leave their signal handlers, which restores registers, signal mask and alternate
//! stack: no thread can tell.
//!
//! Until the gate is opened everything can be undone.
//!
//! Context: AS-SAFE. Called by [`crate::acts::take`] and [`crate::library::alone`], after
//! [`crate::acts::split`].
#![expect(unsafe_code, reason = "makes threads out of parked ones")]

use crate::process::pending;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::size_of;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::arch;
use crate::process::ids;
use crate::sys::{self, CloneArguments, Errno};
use crate::threads::{
    parked,
    slots::{self, PARKED, Slot},
    stale,
    state::{self, ThreadState},
    takeover,
};

const SHUT: u32 = 0;
const OPEN: u32 = 1;
/// The revival is called off: threads at the gate end.
const CALLED_OFF: u32 = 2;

static GATE: AtomicU32 = AtomicU32::new(SHUT);
/// How many threads are at the gate.
static WAITING: AtomicU32 = AtomicU32::new(0);
/// How many threads the maker waits for; the last of them wakes it.
static AWAITED: AtomicU32 = AtomicU32::new(u32::MAX);
/// How many others each thread wakes as it goes through the gate.
static WAKING: AtomicI32 = AtomicI32::new(0);
/// How many registrations and attributes could not be put back.
static NOT_RESTORED: AtomicU32 = AtomicU32::new(0);

/// What new threads inherit, so that each puts back only what differs.
struct Inherited(UnsafeCell<Option<ThreadState>>);

// SAFETY: written by the copy's only thread before it makes others, then only read.
unsafe impl Sync for Inherited {}

static INHERITED: Inherited = Inherited(UnsafeCell::new(None));

/// How long to try again if the system has no room for a thread: the dead branch's threads may
/// still be counted. After that the supervisor waits, since a person can ask it to stop.
const PATIENCE_NS: u64 = 500_000_000;
/// How long to wait for a thread's number: on a busy machine the dead thread may be late to
/// give it back.
const ID_PATIENCE_NS: u64 = 2_000_000_000;

/// How it went.
pub(crate) struct Recreated {
    /// How many registrations and attributes could not be put back.
    pub(crate) not_restored: u32,
    /// How many threads have another id than before.
    pub(crate) renewed: u32,
}

/// Makes the parked threads again, up to the gate. `first` is the calling thread's state from
/// the copied process.
///
/// # Errors
/// EAGAIN if there is no room for another thread. Then none is left, and the copy is as before.
///
/// # Safety
/// The calling thread must be the only one of a copy that was made while the others were
/// parked.
pub(crate) unsafe fn recreate(first: &ThreadState) -> Result<Recreated, Errno> {
    takeover::forget_all();
    let own = ThreadState::record().map_err(|_| Errno(libc::EINVAL))?;
    GATE.store(SHUT, Ordering::Relaxed);
    WAITING.store(0, Ordering::Relaxed);
    AWAITED.store(u32::MAX, Ordering::Relaxed);
    NOT_RESTORED.store(0, Ordering::Relaxed);
    // SAFETY: this is the only thread.
    unsafe { INHERITED.0.get().write(Some(own)) };
    let deadline_ns = sys::now_ns() + PATIENCE_NS;
    let mut made = 0;
    for slot in slots::in_state(PARKED) {
        if let Err(errno) = make(slot, deadline_ns) {
            call_off(made);
            return Err(errno);
        }
        made += 1;
    }
    wait_until_waiting(made);
    parked::expect_to_leave(made);
    // SAFETY: the other threads wait at the gate, and read nothing of it.
    let has_room = unsafe { stale::clear(made as usize + 1) };
    let mut not_restored = NOT_RESTORED.load(Ordering::Acquire);
    not_restored += u32::from(!has_room);
    if let Some(thread) = first.handle() {
        // SAFETY: as above; the thread is libc's own.
        unsafe { stale::note(thread, sys::gettid()) };
    }
    let mut renewed = 0;
    for slot in slots::in_state(PARKED) {
        let new_tid = slot.new_tid.load(Ordering::Acquire);
        renewed += u32::from(new_tid != slot.tid.load(Ordering::Relaxed));
        // SAFETY: the thread waits at the gate, and only reads.
        if let Some(thread) = unsafe { slot.known() }.state.handle() {
            // SAFETY: as above.
            unsafe { stale::note(thread, new_tid) };
        }
    }
    Ok(Recreated {
        not_restored,
        renewed,
    })
}

/// Checks for room: makes this many of the parked threads, or all of them if they are fewer,
/// and ends them at the gate.
///
/// # Errors
/// EAGAIN if there is no room.
///
/// # Safety
/// As [`recreate`].
pub(crate) unsafe fn rehearse(threads: u32) -> Result<(), Errno> {
    // SAFETY: this is the only thread. What none inherits none puts back.
    unsafe { INHERITED.0.get().write(None) };
    GATE.store(SHUT, Ordering::Relaxed);
    WAITING.store(0, Ordering::Relaxed);
    let mut made = 0;
    let mut answer = Ok(());
    for slot in slots::in_state(PARKED).take(threads as usize) {
        answer = make_when_there_is_room(slot, &[], 0);
        if answer.is_err() {
            break;
        }
        made += 1;
    }
    if threads > 0 {
        call_off(made);
    }
    answer
}

/// Opens the gate, and returns the time. The threads wake each other, as after a take: to wake
/// hundreds takes long, and a single waker would get its processor back after all of them.
pub(crate) fn open_gate() -> u64 {
    takeover::remove();
    let waking = parked::waking();
    WAKING.store(waking, Ordering::Relaxed);
    let open_ns = sys::now_ns();
    GATE.store(OPEN, Ordering::Release);
    sys::futex_wake(&GATE, waking);
    open_ns
}

fn make(slot: &'static Slot, deadline_ns: u64) -> Result<(), Errno> {
    if ids::are_chosen() {
        let wanted = [slot.tid.load(Ordering::Relaxed)];
        let made = ids::with_patience(ID_PATIENCE_NS, || {
            make_when_there_is_room(slot, &wanted, deadline_ns)
        });
        // A thread with another number is better than none, and is counted.
        if matches!(made, Ok(()) | Err(Errno(libc::EAGAIN))) {
            return made;
        }
    }
    make_when_there_is_room(slot, &[], deadline_ns)
}

fn make_when_there_is_room(
    slot: &'static Slot,
    ids: &[i32],
    deadline_ns: u64,
) -> Result<(), Errno> {
    // SAFETY: the slot is PARKED, and the thread that had it is in another process.
    let known = unsafe { slot.known() };
    let new_tid = slot.new_tid.as_ptr().expose_provenance();
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID;
    // The memory below the parked thread's stack pointer is free.
    const BELOW: usize = 256;
    let arguments = CloneArguments {
        flags: u64::from(flags.unsigned_abs()),
        parent_tid: new_tid as u64,
        stack: (slot.stack() - BELOW) as u64,
        stack_size: BELOW as u64,
        tls: known.state.bases.fs as u64,
        ..CloneArguments::default()
    }
    .with_ids(ids);
    loop {
        // SAFETY: the stack ends where the parked thread's stood, and all the memory that
        // it needs is this copy's.
        let answer = unsafe {
            arch::spawn_parked(
                (&raw const arguments).cast(),
                size_of::<CloneArguments>(),
                slot.place(),
                begin,
            )
        };
        if answer >= 0 {
            return Ok(());
        }
        let errno = Errno(i32::try_from(-answer).unwrap_or(libc::EINVAL));
        if errno != Errno(libc::EAGAIN) || sys::now_ns() >= deadline_ns {
            return Err(errno);
        }
        sys::pause_ns(1_000_000);
    }
}

fn wait_until_waiting(made: u32) {
    // Sequentially consistent with the two in `begin`: either this thread sees the last
    // arrival, or the last arrival sees what is awaited.
    AWAITED.store(made, Ordering::SeqCst);
    loop {
        let waiting = WAITING.load(Ordering::SeqCst);
        if waiting >= made {
            return;
        }
        sys::futex_wait(&WAITING, waiting, Some(1_000_000));
    }
}

fn call_off(made: u32) {
    wait_until_waiting(made);
    GATE.store(CALLED_OFF, Ordering::Release);
    sys::futex_wake(&GATE, i32::MAX);
    // A later attempt must not find them here.
    for slot in slots::in_state(PARKED) {
        let tid = slot.new_tid.swap(0, Ordering::AcqRel);
        while tid != 0 && sys::has_thread(tid) {
            sys::pause_ns(100_000);
        }
    }
}

/// A thread that goes through the gate lets the next ones through.
fn wake_others() {
    let waking = WAKING.load(Ordering::Relaxed);
    if waking != i32::MAX {
        sys::futex_wake(&GATE, waking);
    }
}

/// The first code of a new thread, on the parked one's stack, all signals blocked.
unsafe extern "C" fn begin(place: *mut c_void) {
    let Some(slot) = slots::by_address(place.addr()) else {
        sys::exit_thread();
    };
    // SAFETY: written before this thread was made, and only read since.
    let inherited = unsafe { &*INHERITED.0.get() };
    if let Some(inherited) = inherited {
        // SAFETY: nobody writes to it while this thread waits at the gate.
        let failed = unsafe { slot.known() }
            .state
            .restore_in_new_thread(inherited);
        NOT_RESTORED.fetch_add(failed, Ordering::AcqRel);
    }
    pending::take_back_pending(slot.tid.load(Ordering::Relaxed));
    let waiting = WAITING.fetch_add(1, Ordering::SeqCst) + 1;
    if waiting >= AWAITED.load(Ordering::SeqCst) {
        sys::futex_wake(&WAITING, 1);
    }
    loop {
        match GATE.load(Ordering::Acquire) {
            SHUT => sys::futex_wait(&GATE, SHUT, None),
            OPEN => return wake_others(),
            _ => {
                state::forget_registrations();
                sys::exit_thread();
            }
        }
    }
}
