//! The agent's signal handlers: the trigger and the supervisor's requests take a snapshot, and
//! on SIGINT the supervisor says for whom the signal is.
//!
//! Context: AS-SAFE. They never touch `errno`: all calls are raw.

use core::ffi::c_int;

use libc::{siginfo_t, ucontext_t};
use snapshot_core::restart_interrupted_call;
use snapshot_core::sys::{self, SignalInfo, SignalSet};
use snapshot_core::terms::{PASSED_MAGIC, REQUEST_MAGIC, REQUEST_SIGNAL};
use snapshot_core::wire::{FromCaller, ToCaller};

use super::{
    answering::{Answering, answer},
    pending,
};
use crate::session::{self, Reply};
use crate::signals::{
    installed::{self, REQUESTS},
    own_action,
    senders::{self, Sender},
};

/// Installs them, before `main`.
pub(crate) fn begin() {
    installed::begin(on_trigger, on_interrupt, on_request);
}

/// The trigger signal's handler.
///
/// If the program has a handler, ours is installed with its mask and its flags: so the kernel
/// blocks just the signals that it would block for the program's.
extern "C" fn on_trigger(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    let entered = sys::block(SignalSet::ALL).without(REQUESTS);
    let at_ns = sys::now_ns();
    // SAFETY: the handler's own argument.
    let received = unsafe { SignalInfo::of_handler(info) };
    let sender = Sender::of(&received);
    if !session::is_live() || sender.is_inside(senders::handles_trigger()) {
        if pending::is_taker() {
            // SAFETY: the handler's own argument.
            unsafe { put_off(&received, context) };
        } else {
            // SAFETY: the handler's own arguments.
            unsafe { own_action::run(signal, info, context, entered) };
        }
        return;
    }
    match sender.carries(REQUEST_MAGIC) {
        Some(request) => pending::note_request(request),
        None => pending::count_signal(),
    }
    let mut answering = Answering::new(at_ns, Some((signal, context)));
    if !answer(&mut answering) {
        // SAFETY: the handler's own argument.
        unsafe { restart_interrupted_call(signal, context) };
    }
}

/// Serves a request of the supervisor's, in the handler of its signal.
///
/// # Safety
/// `context` must be the third argument of the running handler, which has everything blocked.
unsafe extern "C" fn on_request(request: u32, context: *mut ucontext_t) {
    if !session::is_live() {
        return;
    }
    let at_ns = sys::now_ns();
    pending::note_request(request);
    let mut answering = Answering::new(at_ns, Some((REQUEST_SIGNAL, context)));
    if !answer(&mut answering) {
        // SAFETY: the caller's promise.
        unsafe { restart_interrupted_call(REQUEST_SIGNAL, context) };
    }
}

/// The thread takes, with the trigger open, and a signal of the program's own has come. It
/// waits in the kernel until the take is over, as it would for any other thread.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn put_off(info: &SignalInfo, context: *mut ucontext_t) {
    // SAFETY: the context is the running handler's.
    let mask = unsafe { &raw mut (*context).uc_sigmask }.cast::<u64>();
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let before = SignalSet(unsafe { mask.read() });
    let closed = before.with(session::trigger_set());
    // SAFETY: as above; the mask that the handler returns to.
    unsafe { mask.write(closed.0) };
    let _ = if info.code() == libc::SI_TKILL {
        sys::queue_to_thread(sys::gettid(), info)
    } else {
        sys::queue_to_self(info)
    };
}

/// SIGINT's handler. Everything is blocked while it asks, and no snapshot is taken
/// meanwhile: a copy that is taken here would ask again when it is revived.
extern "C" fn on_interrupt(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the handler's own argument.
    let sender = Sender::of(&unsafe { SignalInfo::of_handler(info) });
    // The program's signals to itself are its own.
    let is_own = !session::is_live() || sender.is_this_process();
    if is_own || is_for_program(&sender) {
        // SAFETY: the handler's own arguments.
        unsafe { own_action::run_unmasked(signal, info, context) };
    } else {
        // SAFETY: the handler's own argument.
        unsafe { restart_interrupted_call(signal, context) };
    }
}

/// Asks the supervisor whether the signal is the program's own. If it means a revert, the
/// supervisor ends this process before it answers.
fn is_for_program(sender: &Sender) -> bool {
    let question = FromCaller::Interrupted {
        sender: sender.process(),
        passed: sender.carries(PASSED_MAGIC).unwrap_or(0),
    };
    match session::ask(question) {
        Reply::Answer(answer) => !matches!(answer, ToCaller::Denied),
        // Without a supervisor the signal can only be the program's.
        Reply::Unreachable(_) => true,
        // It came in the dead branch.
        Reply::Revived => false,
    }
}
