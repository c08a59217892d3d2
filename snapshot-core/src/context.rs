//! The interrupted call of a thread that took a snapshot in a signal handler.
//!
//! SA_RESTART does not cover calls with a timeout (poll, select, nanosleep, ...): they
//! return EINTR, and a program that never expected a signal takes that for an error. So
//! the call is issued again, as if nothing had happened.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "rewrites registers in a signal frame")]

use crate::arch::SyscallFrame;
use crate::sys::{self, SignalSet};

/// Makes the interrupted call of a handler's context start again, if it was cut short
/// by the signal that is being handled.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub unsafe fn restart_interrupted_call(context: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise.
    let mask = unsafe { &raw const (*context).uc_sigmask };
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let mask = SignalSet(unsafe { mask.cast::<u64>().read() });
    // SAFETY: the caller's promise; no other reference into the context is alive.
    let mut frame = unsafe { SyscallFrame::new(context) };
    if frame.result_if_in_syscall() != Some(-i64::from(libc::EINTR)) {
        return;
    }
    // Another signal that the program would be interrupted by: its EINTR is genuine.
    if sys::pending().without(mask) != SignalSet(0) {
        return;
    }
    let Some(number) = frame.number_from_code() else {
        return;
    };
    match number {
        // The kernel has written the time left where the caller wanted it, if anywhere.
        libc::SYS_nanosleep if *frame.argument(1) != 0 => {
            *frame.argument(0) = *frame.argument(1);
        }
        libc::SYS_clock_nanosleep
            if *frame.argument(3) != 0
                && *frame.argument(1) & i64::from(libc::TIMER_ABSTIME) == 0 =>
        {
            *frame.argument(2) = *frame.argument(3);
        }
        _ => {}
    }
    frame.rewind(number);
}
