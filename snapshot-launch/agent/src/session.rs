//! What the agent knows of its session, in atomics that a handler can read.
//!
//! Context: AS-SAFE.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use snapshot_core::acts::session::Session;
use snapshot_core::sys::{self, Errno, SignalInfo, SignalSet};
use snapshot_core::terms;
use snapshot_core::threads::restart;

use crate::environment::Letter;

const NAME_BYTES: usize = 100;

/// The supervisor's abstract address. Written once, before any handler is installed.
struct Name(UnsafeCell<[u8; NAME_BYTES]>);

// SAFETY: written by the constructor alone, while the program has one thread and no
// handler of ours; only read afterwards.
unsafe impl Sync for Name {}

static NAME: Name = Name(UnsafeCell::new([0; NAME_BYTES]));
static NAME_LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The process that is snapshotted; 0 until the session begins.
static LIVE: AtomicI32 = AtomicI32::new(0);
/// Its parent.
static SUPERVISOR: AtomicI32 = AtomicI32::new(0);
static TRIGGER: AtomicI32 = AtomicI32::new(0);
/// Whether the program was started with huge pages, so that the next one is as well.
static HUGE_PAGES: AtomicBool = AtomicBool::new(false);
/// Whether memory that asks to be wiped in copies is to be wiped by a revert.
static RESEED: AtomicBool = AtomicBool::new(false);

/// Takes the letter's contents over.
pub(crate) fn begin(letter: &Letter) {
    let length = letter.name().len().min(NAME_BYTES);
    // SAFETY: the constructor's one thread is here, and no handler is installed yet.
    let name = unsafe { &mut *NAME.0.get() };
    name[..length].copy_from_slice(&letter.name()[..length]);
    NAME_LENGTH.store(length, Ordering::Release);
    TRIGGER.store(letter.trigger, Ordering::Relaxed);
    HUGE_PAGES.store(letter.tunables > 0, Ordering::Relaxed);
    restart::set_session_signals(own_signals());
    SUPERVISOR.store(sys::getppid(), Ordering::Relaxed);
    LIVE.store(sys::getpid(), Ordering::Release);
}

/// Tells the supervisor by signal that a request of its own has come, or a trigger (0), and
/// that it can't be called. Where it is gone nobody is told.
pub(crate) fn tell_mute(request: u32, errno: Errno) {
    let supervisor = SUPERVISOR.load(Ordering::Relaxed);
    if supervisor == sys::getppid() {
        let value = terms::mute(request, errno.0);
        let _ = sys::queue_to_process(supervisor, &SignalInfo::queued(trigger(), value));
    }
}

/// Where the supervisor listens.
pub(crate) fn name() -> &'static [u8] {
    let length = NAME_LENGTH.load(Ordering::Acquire);
    // SAFETY: after `begin` nobody writes, and before it the length is 0.
    let name = unsafe { &*NAME.0.get() };
    name.get(..length).unwrap_or(&[])
}

/// The trigger signal; 0 outside a session.
pub(crate) fn trigger() -> i32 {
    TRIGGER.load(Ordering::Relaxed)
}

/// Whether a program that this one becomes is to ask for huge pages.
pub(crate) fn huge_pages() -> bool {
    HUGE_PAGES.load(Ordering::Relaxed)
}

/// Has memory that asks for it wiped by a revert.
pub(crate) fn set_reseed(reseed: bool) {
    RESEED.store(reseed, Ordering::Relaxed);
}

/// The trigger signal as a set.
pub(crate) fn trigger_set() -> SignalSet {
    SignalSet::only(trigger())
}

/// The signals that the session serves.
fn own_signals() -> SignalSet {
    trigger_set().with(SignalSet::only(libc::SIGINT))
}

/// What a take has to know.
pub(crate) fn of_take() -> Session {
    Session {
        name: name(),
        trigger: trigger_set(),
        kept: own_signals(),
        is_kept: crate::senders::is_sessions,
        reseed: RESEED.load(Ordering::Relaxed),
        revived,
    }
}

/// Whether this process is the one that is snapshotted, and not a child it has forked.
pub(crate) fn is_live() -> bool {
    let live = LIVE.load(Ordering::Acquire);
    live != 0 && live == sys::getpid()
}

/// A revived copy may have another pid.
fn revived(pid: i32) {
    LIVE.store(pid, Ordering::Release);
    crate::handlers::forget_requests();
    crate::adopted::tell_of_ended();
}
