//! The program's signal handlers without SA_RESTART, once the kernel asks the journal about
//! calls: each is entered through code of ours, which first issues a call again that was taken
//! back ([`super::withdrawn`]). So this holds for every call that the program makes, those of
//! stdio inside libc too.
//!
//! For these signals the kernel has the address of our code, with the flags and the mask of the
//! program's own action; a table has the program's handler. Our code jumps there with the
//! registers and the stack as the kernel has left them, so the handler finds the same frame and
//! backtraces are the same.
//!
//! Before the first take nothing is changed.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "installs signal handlers")]

use core::sync::atomic::{AtomicUsize, Ordering};

use super::{restart, withdrawn};
use crate::arch;
use crate::sys::{self, SignalSet};

/// The program's handler for each signal that has ours in the kernel.
///
/// Relaxed: each holds all that there is to read. Between a change here and in the kernel a
/// signal may find the new handler with the old mask; a program that changes a handler while the
/// signal comes expects either handler.
static HANDLERS: [AtomicUsize; 65] = [const { AtomicUsize::new(libc::SIG_DFL) }; 65];

/// The signals of the kernel and of libc alone, or of our own.
const OTHERS: SignalSet = SignalSet::ALL.without(SignalSet::PROGRAM);

fn ours() -> usize {
    arch::shielded_by(before_handler)
}

/// Runs before the program's handler; returns that.
unsafe extern "C" fn before_handler(
    signal: i32,
    _info: *mut libc::siginfo_t,
    context: *mut libc::ucontext_t,
) -> usize {
    // SAFETY: the handler's own argument.
    unsafe { withdrawn::issue_again(context) };
    program_handler(signal)
}

fn program_handler(signal: i32) -> usize {
    usize::try_from(signal)
        .ok()
        .and_then(|signal| HANDLERS.get(signal))
        .map_or(libc::SIG_DFL, |handler| handler.load(Ordering::Relaxed))
}

/// What the program has set for a signal that may be shielded.
#[derive(Debug, Clone, Copy)]
pub struct AsSet(usize);

impl AsSet {
    /// Looks. Do it before the program sets another handler.
    pub fn look(signal: i32) -> Self {
        Self(program_handler(signal))
    }

    /// The program's handler, for the one that the kernel has had.
    pub fn instead_of(self, handler: usize) -> usize {
        if handler == ours() { self.0 } else { handler }
    }
}

/// Shields the program's handler for this signal, if there is one that interrupts calls and
/// calls may be taken back. Only one thread does that at a time.
pub fn shield(signal: i32) {
    if !withdrawn::may_be() || !is_shieldable(signal) {
        return;
    }
    // SAFETY: asks only.
    let Ok(mut action) = (unsafe { sys::sigaction(signal, None) }) else {
        return;
    };
    let restarts = action.flags & u64::from(libc::SA_RESTART.unsigned_abs()) != 0;
    let is_handler = ![libc::SIG_DFL, libc::SIG_IGN, ours()].contains(&action.handler);
    if !is_handler || restarts {
        return;
    }
    let place = usize::try_from(signal)
        .ok()
        .and_then(|signal| HANDLERS.get(signal));
    if let Some(place) = place {
        place.store(action.handler, Ordering::Relaxed);
        action.handler = ours();
        // SAFETY: our code is AS-SAFE and then jumps to the program's handler; the restorer is
        // the program's own.
        let _ = unsafe { sys::sigaction(signal, Some(&action)) };
    }
}

/// Shields all of them. Call it while every other thread is parked.
pub(crate) fn shield_all() {
    (1..=64).for_each(shield);
}

fn is_shieldable(signal: i32) -> bool {
    // A signal that the thread causes itself interrupts no call. The agent's own handlers repair
    // what they interrupt.
    (1..=64).contains(&signal) && !SignalSet::only(signal).meets(OTHERS.with(restart::untouched()))
}
