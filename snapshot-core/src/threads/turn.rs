//! The turn: one thread at a time takes a snapshot, and none while another thread talks to the
//! supervisor. A copy made during that talk would repeat it when it is revived.
//!
//! Context: AS-SAFE. A thread that waits here can be parked.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::{self, SignalSet};
use crate::terms::REQUEST_SIGNAL;

/// Set while a thread has its turn.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// How many threads are in the middle of a conversation.
static TALKING: AtomicU32 = AtomicU32::new(0);
/// Counts the lives of this process: each revival begins a new one.
static LIFE: AtomicU32 = AtomicU32::new(0);

/// How long to sleep before looking again; a wake-up normally comes long before.
const LOOK_AGAIN_NS: u64 = 50_000_000;

/// The number of this life. A thread drops what it began in an earlier life.
pub fn life() -> u32 {
    LIFE.load(Ordering::Acquire)
}

/// Takes the turn if it is free.
pub fn try_begin() -> bool {
    // Acquire and release pair up with the former holder's, so this thread sees its writes.
    if TAKEN.swap(1, Ordering::AcqRel) != 0 {
        return false;
    }
    // A thread that talks already finishes; a thread that begins now sees the turn taken.
    loop {
        match TALKING.load(Ordering::SeqCst) {
            0 => return true,
            talking => sys::futex_wait(&TALKING, talking, Some(LOOK_AGAIN_NS)),
        }
    }
}

/// Waits for the turn.
pub fn begin() {
    while !try_begin() {
        sys::futex_wait(&TAKEN, 1, Some(LOOK_AGAIN_NS));
    }
}

/// Gives the turn back.
pub fn end() {
    TAKEN.store(0, Ordering::SeqCst);
    sys::futex_wake(&TAKEN, i32::MAX);
}

/// In a revived copy: a new life begins.
pub(crate) fn begin_new_life() {
    LIFE.fetch_add(1, Ordering::AcqRel);
}

/// A conversation that no snapshot may interrupt.
///
/// Nor may its thread be asked for a snapshot: it would wait for itself. So it blocks requests
/// meanwhile.
#[derive(Debug)]
#[must_use = "the conversation ends with it"]
pub struct Conversation {
    was_open: bool,
}

const REQUESTS: SignalSet = SignalSet::only(REQUEST_SIGNAL);

impl Conversation {
    /// Begins a conversation as soon as no thread has the turn.
    pub fn begin() -> Self {
        loop {
            let was_open = !sys::block(REQUESTS).meets(REQUESTS);
            let conversation = Self { was_open };
            // Sequentially consistent with the two in `try_begin`: either `try_begin` sees this
            // thread talking, or this thread sees the turn taken.
            TALKING.fetch_add(1, Ordering::SeqCst);
            if TAKEN.load(Ordering::SeqCst) == 0 {
                return conversation;
            }
            drop(conversation);
            // A waiting thread must be able to park.
            sys::unblock(REQUESTS);
            sys::futex_wait(&TAKEN, 1, Some(LOOK_AGAIN_NS));
            if !was_open {
                sys::block(REQUESTS);
            }
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        leave();
        if self.was_open {
            sys::unblock(REQUESTS);
        }
    }
}

fn leave() {
    if TALKING.fetch_sub(1, Ordering::SeqCst) == 1 {
        sys::futex_wake(&TALKING, i32::MAX);
    }
}
