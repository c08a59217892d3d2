//! Does what the program wants on a signal that turns out to be its own: ignore it, take the
//! default action, or run the program's handler, as the kernel would have.
//!
//! Context: AS-SAFE. Called by the agent's handlers, which the kernel has run instead.

use core::ffi::{c_int, c_void};
use core::mem;

use libc::{siginfo_t, ucontext_t};
use snapshot_core::restart_interrupted_call;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::withdrawn::issue_again;

use super::{
    dispositions::{Disposition, set_wanted, wanted},
    installed::{exchange, install, set_real},
};
use crate::session;

/// Does what the program wants, if our handler was entered with a mask of ours: the program's
/// handler runs with the mask that the kernel would have given it.
///
/// # Safety
/// As [`run`].
pub(crate) unsafe fn run_unmasked(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the caller's promise.
    let mask = unsafe { mask_for(signal, context) };
    // SAFETY: the caller's promise.
    unsafe { run(signal, info, context, mask) };
}

/// The mask for the program's handler of a signal that has interrupted `context`.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn mask_for(signal: c_int, context: *mut ucontext_t) -> SignalSet {
    let wanted = wanted(signal);
    // SAFETY: the context is the running handler's.
    let before = unsafe { &raw const (*context).uc_sigmask };
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let before = unsafe { before.cast::<u64>().read() };
    let mask = SignalSet(before).with(SignalSet(wanted.mask));
    if wanted.flags & libc::SA_NODEFER == 0 {
        mask.with(SignalSet::only(signal))
    } else {
        mask
    }
}

/// Does what the program wants. A handler of the program's runs with `mask`.
///
/// # Safety
/// Call it from the handler of `signal`, with that handler's own arguments.
pub(crate) unsafe fn run(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
    mask: SignalSet,
) {
    let wanted = wanted(signal);
    match wanted.handler {
        libc::SIG_IGN => {
            // SAFETY: the caller's promise.
            unsafe { restart_interrupted_call(signal, context) };
        }
        libc::SIG_DFL => {
            set_real(signal, &Disposition::DEFAULT.to_libc());
            let _ = sys::tgkill(sys::getpid(), sys::gettid(), signal);
            // The default action of SIGINT, and of most triggers, ends the process here.
            sys::unblock(SignalSet::only(signal));
            // The trigger is a signal that is ignored by default.
            if session::is_live() {
                install(signal, wanted);
            }
        }
        handler => {
            if wanted.flags & libc::SA_RESETHAND != 0 {
                if session::is_live() {
                    exchange(signal, Some(Disposition::DEFAULT));
                } else {
                    set_wanted(signal, Disposition::DEFAULT);
                }
            }
            // SAFETY: the caller's promise.
            unsafe { issue_again(context) };
            sys::set_mask(mask);
            // SAFETY: the program registered a handler there. One with a single argument finds
            // it as the first of three.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context.cast());
        }
    }
}
