//! Whose turn it is: one thread at a time takes a snapshot, and none while another speaks
//! with the supervisor of something else. A copy made in the middle of that would say it
//! all again when it is revived.
//!
//! Context: AS-SAFE. A thread that waits here can be parked.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::{self, SignalSet};
use crate::terms::REQUEST_SIGNAL;

/// Set while a thread has its turn.
static TAKEN: AtomicU32 = AtomicU32::new(0);
/// How many threads are in the middle of a conversation.
static TALKING: AtomicU32 = AtomicU32::new(0);
/// Counts the lives of this process: one more each time a copy is revived.
static LIFE: AtomicU32 = AtomicU32::new(0);

/// How long to sleep before looking again; a wake-up comes long before.
const GLANCE_NS: u64 = 50_000_000;

/// Which life this is. What a thread set out to do in an earlier one is not to be done
/// again.
pub fn life() -> u32 {
    LIFE.load(Ordering::Acquire)
}

/// Takes the turn if it is free.
pub fn try_begin() -> bool {
    // Acquire and release pair up with the former holder's, so that its writes are seen.
    if TAKEN.swap(1, Ordering::AcqRel) != 0 {
        return false;
    }
    // Whoever speaks already finishes; whoever begins now sees the turn taken.
    loop {
        match TALKING.load(Ordering::SeqCst) {
            0 => return true,
            talking => sys::futex_wait(&TALKING, talking, Some(GLANCE_NS)),
        }
    }
}

/// Waits for the turn.
pub fn begin() {
    while !try_begin() {
        sys::futex_wait(&TAKEN, 1, Some(GLANCE_NS));
    }
}

/// Gives it back.
pub fn end() {
    TAKEN.store(0, Ordering::SeqCst);
    sys::futex_wake(&TAKEN, i32::MAX);
}

/// In a copy that comes back to life: a new life begins.
pub(crate) fn begin_new_life() {
    LIFE.fetch_add(1, Ordering::AcqRel);
}

/// A conversation that no snapshot may be taken in the middle of.
///
/// Nor may the thread that leads it be asked for one: it would wait for itself. So it doesn't
/// hear of requests meanwhile.
#[derive(Debug)]
#[must_use = "the conversation ends with it"]
pub struct Conversation {
    was_open: bool,
}

const REQUESTS: SignalSet = SignalSet::only(REQUEST_SIGNAL);

impl Conversation {
    /// Begins one, as soon as nobody has the turn.
    pub fn begin() -> Self {
        loop {
            let was_open = !sys::block(REQUESTS).meets(REQUESTS);
            let conversation = Self { was_open };
            // Sequentially consistent with the two in `try_begin`: either that one sees
            // this thread talking, or this one sees the turn taken.
            TALKING.fetch_add(1, Ordering::SeqCst);
            if TAKEN.load(Ordering::SeqCst) == 0 {
                return conversation;
            }
            drop(conversation);
            // Whoever waits must be able to park.
            sys::unblock(REQUESTS);
            sys::futex_wait(&TAKEN, 1, Some(GLANCE_NS));
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
