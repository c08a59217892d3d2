//! What the agent knows of its session, in atomics that a signal handler can read.
//!
//! The constructor fills it from the launcher's message. Later a revival changes which process
//! is the live one, and a filter of the program's may forbid snapshots.
//!
//! Context: AS-SAFE.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::restart;

use super::message::{MOST_NAME_BYTES, Message};

/// The supervisor's abstract address. Written once, before any handler is installed.
struct Name(UnsafeCell<[u8; MOST_NAME_BYTES]>);

// SAFETY: the constructor alone writes it, while the program has one thread and no handler of
// ours; afterwards it is only read.
unsafe impl Sync for Name {}

static NAME: Name = Name(UnsafeCell::new([0; MOST_NAME_BYTES]));
static NAME_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The process that is snapshotted; 0 until the session begins.
static LIVE: AtomicI32 = AtomicI32::new(0);
/// Its parent.
static SUPERVISOR: AtomicI32 = AtomicI32::new(0);
static TRIGGER: AtomicI32 = AtomicI32::new(0);
/// Whether the launcher asked for huge pages: then the program asks again at an exec.
static HUGE_PAGES: AtomicBool = AtomicBool::new(false);
/// Whether a revert wipes memory that is marked to be wiped in copies.
static RESEED: AtomicBool = AtomicBool::new(false);
/// The same, as the program wants it.
static PROGRAM_RESEEDS: AtomicBool = AtomicBool::new(false);
/// Set while a filter of the program's forbids what a snapshot needs. A copy has the filters of
/// its snapshot, and so the right value.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Stores the launcher's message.
pub(crate) fn begin(message: &Message) {
    let length = message.name().len().min(MOST_NAME_BYTES);
    // SAFETY: the constructor's one thread is here, and no handler is installed yet.
    let name = unsafe { &mut *NAME.0.get() };
    name[..length].copy_from_slice(&message.name()[..length]);
    // Release: a reader that sees the length sees the name.
    NAME_LENGTH.store(length, Ordering::Release);
    TRIGGER.store(message.trigger, Ordering::Relaxed);
    HUGE_PAGES.store(message.tunables > 0, Ordering::Relaxed);
    restart::set_session_signals(signals_set());
    SUPERVISOR.store(sys::getppid(), Ordering::Relaxed);
    // Release: a reader that sees a live process sees all of the above.
    LIVE.store(sys::getpid(), Ordering::Release);
}

/// Where the supervisor listens.
pub(crate) fn name() -> &'static [u8] {
    let length = NAME_LENGTH.load(Ordering::Acquire);
    // SAFETY: after `begin` nothing writes to it, and before it the length is 0.
    let name = unsafe { &*NAME.0.get() };
    name.get(..length).unwrap_or(&[])
}

/// The supervisor's id when the session began.
pub(super) fn supervisor() -> i32 {
    SUPERVISOR.load(Ordering::Relaxed)
}

/// The trigger signal; 0 outside a session.
pub(crate) fn trigger() -> c_int {
    TRIGGER.load(Ordering::Relaxed)
}

/// The trigger signal as a set.
pub(crate) fn trigger_set() -> SignalSet {
    SignalSet::only(trigger())
}

/// The two signals that the session serves and a program may use as well.
pub(crate) fn signals() -> [c_int; 2] {
    [trigger(), libc::SIGINT]
}

/// Both as a set.
pub(crate) fn signals_set() -> SignalSet {
    trigger_set().with(SignalSet::only(libc::SIGINT))
}

/// Whether the launcher asked for huge pages.
pub(crate) fn asks_for_huge_pages() -> bool {
    HUGE_PAGES.load(Ordering::Relaxed)
}

/// Whether a revert wipes memory that is marked to be wiped in copies.
pub(crate) fn reseeds() -> bool {
    RESEED.load(Ordering::Relaxed) || PROGRAM_RESEEDS.load(Ordering::Relaxed)
}

/// Sets that for the whole session.
pub(crate) fn set_reseed(reseed: bool) {
    RESEED.store(reseed, Ordering::Relaxed);
}

/// Whether the program wants it, too.
pub(crate) fn set_program_reseeds(reseeds: bool) {
    PROGRAM_RESEEDS.store(reseeds, Ordering::Relaxed);
}

/// Whether this process is the one that is snapshotted, and not a child that it has forked.
pub(crate) fn is_live() -> bool {
    let live = LIVE.load(Ordering::Acquire);
    live != 0 && live == sys::getpid()
}

/// Makes this revived copy the live process, maybe under another id.
pub(crate) fn set_live(pid: i32) {
    LIVE.store(pid, Ordering::Release);
}

/// Whether a filter of the program's forbids snapshots: then the agent must do nothing.
pub(crate) fn forbids_snapshots() -> bool {
    FORBIDDEN.load(Ordering::Acquire)
}

/// Sets that: before the filter, since strict mode allows no call after it.
pub(crate) fn forbid_snapshots(forbid: bool) {
    FORBIDDEN.store(forbid, Ordering::Release);
}
