//! The snapshots that signals have asked for and no take has answered yet.
//!
//! The thread that gets a signal counts it; the thread that has the turn answers it. During a
//! take the taking thread lets the trigger in, so that no request is lost.
//!
//! Context: AS-SAFE. All counts are sequentially consistent: see
//! [`super::answering::answer`].

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use snapshot_core::sys::{self, SignalSet};
use snapshot_core::terms::Ask;

use crate::session;

/// Triggers that were sent straight to this process.
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// The supervisor's request; it sends one at a time. 0 is none.
static REQUEST: AtomicU32 = AtomicU32::new(0);

/// The thread that takes, and has the trigger open; 0 is none.
static TAKER: AtomicI32 = AtomicI32::new(0);

/// A trigger has come.
pub(super) fn count_signal() {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// The supervisor's request of this number has come.
pub(super) fn note_request(request: u32) {
    REQUEST.store(request, Ordering::SeqCst);
}

/// Whether there is anything to answer.
pub(super) fn is_any() -> bool {
    SIGNALS.load(Ordering::SeqCst) != 0 || REQUEST.load(Ordering::SeqCst) != 0
}

/// Removes the next one and returns it.
pub(super) fn next() -> Option<Ask> {
    match REQUEST.swap(0, Ordering::SeqCst) {
        0 => SIGNALS
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                count.checked_sub(1)
            })
            .ok()
            .map(|_| Ask::Signal),
        request => Some(Ask::Request(request)),
    }
}

/// Forgets all of them. In a revived copy they were the dead branch's.
pub(super) fn forget() {
    SIGNALS.store(0, Ordering::SeqCst);
    REQUEST.store(0, Ordering::SeqCst);
}

/// Lets the trigger in while the calling thread takes, so that more requests are counted. The
/// thread is on the engine's stack, where handlers have room. Returns the former mask.
pub(super) fn open_trigger() -> SignalSet {
    TAKER.store(sys::gettid(), Ordering::Relaxed);
    sys::unblock(session::trigger_set())
}

/// Ends that, in the live process and in a revived copy.
pub(super) fn close_trigger(closed: SignalSet) {
    sys::set_mask(closed);
    TAKER.store(0, Ordering::Relaxed);
}

/// Whether the calling thread takes, and has let the trigger in. Relaxed: a thread sees its own
/// writes.
pub(super) fn is_taker() -> bool {
    TAKER.load(Ordering::Relaxed) == sys::gettid()
}
