//! How every take opens: one thread has the turn and runs on the engine's stack, and the
//! program's first thread does the work.
//!
//! A thread waits for its turn with the program's signals blocked. Libc's own two stay open, so
//! a waiting thread can be parked.
//!
//! Context: AS-SAFE. Called by the agent's handlers, by its exports and by
//! [`crate::library`].
#![expect(unsafe_code, reason = "hands work to another stack and another thread")]

use core::ffi::c_void;
use core::ptr;

use libc::ucontext_t;

use crate::sys::{self, Errno, SignalSet};
use crate::terms::Obstacle;
use crate::threads::{leader, own_stack, parked, slots, takeover, turn};

/// The work of one turn. It may return twice, in two processes.
pub trait Work {
    /// On the engine's stack, before the first thread is called.
    fn begin(&mut self) {}

    /// In the first thread, while the caller waits.
    fn in_first_thread(&mut self);

    /// The first thread has not come. Nothing has been done.
    fn hindered(&mut self, obstacle: Obstacle);

    /// On the engine's stack again.
    fn end(&mut self) {}
}

/// Waits for the turn, and does the work. If a revert has revived this thread while it waited,
/// it does nothing: requests from before the revert are void.
///
/// # Errors
/// ENOMEM if there is no memory for a stack: nothing has been done.
///
/// # Safety
/// The calling thread must not have the turn, and the work must be fit for a signal handler.
pub unsafe fn in_turn<W: Work>(work: &mut W) -> Result<(), Errno> {
    let open = sys::block(SignalSet::PROGRAM);
    let life = turn::life();
    turn::begin();
    let done = if life == turn::life() {
        // SAFETY: this thread has the turn; the rest is the caller's promise.
        unsafe { on_callers_stack(work) }
    } else {
        Ok(())
    };
    turn::end();
    sys::set_mask(open);
    done
}

/// Does the work if no thread has the turn; else `None`.
///
/// Uses little of the stack before it switches: this may be an alternate stack, with a handler
/// of the program on it already.
///
/// # Errors
/// As [`in_turn`].
///
/// # Safety
/// As [`in_turn`]; the program's signals must be blocked.
pub unsafe fn if_free<W: Work>(work: &mut W) -> Option<Result<(), Errno>> {
    if !turn::try_begin() {
        return None;
    }
    // SAFETY: this thread has the turn; the rest is the caller's promise.
    let done = unsafe { on_callers_stack(work) };
    turn::end();
    Some(done)
}

unsafe fn on_callers_stack<W: Work>(work: &mut W) -> Result<(), Errno> {
    takeover::answer_by(answer);
    // SAFETY: the caller has the turn, and the work outlives the call.
    unsafe { own_stack::on_callers_stack(there::<W>, ptr::from_mut(work).cast()) }
}

/// On the engine's stack.
unsafe fn there<W: Work>(work: *mut c_void) {
    // SAFETY: `on_callers_stack` passes its own, and waits.
    unsafe { &mut *work.cast::<W>() }.begin();
    // SAFETY: the caller has the turn, and this is the stack for it.
    let called = unsafe { leader::run(work_there::<W>, work) };
    // SAFETY: as above; the first thread is done with it.
    let work = unsafe { &mut *work.cast::<W>() };
    if let Err(obstacle) = called {
        work.hindered(obstacle);
    }
    work.end();
}

/// In the first thread.
unsafe fn work_there<W: Work>(work: *mut c_void) {
    // SAFETY: `there` passes it on and waits; in a copy of the process it is the same memory.
    unsafe { &mut *work.cast::<W>() }.in_first_thread();
}

/// What a thread does when it gets a signal of the engine's with this value.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn answer(value: usize, context: *mut ucontext_t) -> bool {
    if value == leader::call_value() {
        takeover::forget_one();
        // SAFETY: the caller's promise.
        unsafe { leader::answer(context) };
        true
    } else if let Some(slot) = slots::by_address(value) {
        takeover::forget_one();
        // SAFETY: the caller's promise.
        unsafe { parked::answer(slot, context) };
        true
    } else {
        false
    }
}
