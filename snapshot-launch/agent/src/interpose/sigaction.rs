//! The functions by which a program sets the action of a signal.
//!
//! For the trigger and SIGINT they write what the program wants into the agent's table and install
//! the agent's handlers accordingly. For every other signal, and in a child that the program
//! has forked, they call libc's.
//!
//! Context: AS-SAFE.

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;

use libc::sighandler_t;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::terms::OwnUse;

use crate::children::sigchld;
use crate::real::Real;
use crate::signals::{
    dispositions::{Disposition, wanted},
    installed::{exchange, is_our_handler, is_ours, real_sigaction},
    shield,
};
use crate::{errno, session};

/// sigaction(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    if is_ours(signal) && session::is_live() {
        // SAFETY: null, or valid by the caller's promise.
        let new = unsafe { new.as_ref() }.map(Disposition::from_libc);
        let before = exchange(signal, new);
        if signal == session::trigger() && new.is_some_and(Disposition::is_handler) {
            session::report_use(OwnUse::Handles);
        }
        if !old.is_null() {
            // SAFETY: valid by the caller's promise.
            unsafe { old.write(before.to_libc()) };
        }
        return 0;
    }
    let Some(real) = real_sigaction() else {
        errno::set(libc::ENOSYS);
        return -1;
    };
    // SAFETY: the caller's promise.
    let (answer, as_set) = shield::around(signal, || unsafe { real(signal, new, old) });
    note_of_children(signal);
    if answer == 0 && !old.is_null() {
        // SAFETY: valid by the caller's promise, and libc has written it.
        let old = unsafe { &mut *old };
        old.sa_sigaction = as_set.instead_of(old.sa_sigaction);
    }
    if answer == 0 && is_ours(signal) && !old.is_null() {
        // A child made without fork's hooks still has our handler. The program's disposition is
        // the child's own. SAFETY: libc has written it.
        let handler = unsafe { (*old).sa_sigaction };
        if is_our_handler(handler) {
            // SAFETY: valid by the caller's promise.
            unsafe { old.write(wanted(signal).to_libc()) };
        }
    }
    answer
}

/// Records SIGCHLD's disposition, which the program may have set.
fn note_of_children(signal: c_int) {
    if signal == libc::SIGCHLD {
        sigchld::note_disposition();
    }
}

/// The common part of the `signal` family: sets a handler with these flags and mask.
fn simple(signal: c_int, handler: sighandler_t, flags: c_int, mask: u64) -> sighandler_t {
    let new = Disposition {
        handler,
        flags,
        mask,
    }
    .to_libc();
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: live structures; the handler is the program's.
    if unsafe { sigaction(signal, &raw const new, &raw mut old) } == 0 {
        old.sa_sigaction
    } else {
        libc::SIG_ERR
    }
}

type Signal = unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t;

/// Defines a function that sets our signals by `simple`, and all others by libc.
macro_rules! signal_function {
    ($(#[$doc:meta])* $name:ident, $c_name:literal, $flags:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(signal: c_int, handler: sighandler_t) -> sighandler_t {
            static REAL: Real = Real::new($c_name);
            if is_ours(signal) {
                return simple(signal, handler, $flags, 0);
            }
            // SAFETY: a null address is `None`; any other is libc's function.
            let real = unsafe { mem::transmute::<*mut c_void, Option<Signal>>(REAL.address()) };
            match real {
                Some(real) => {
                    let set = || {
                        // SAFETY: the caller's promise.
                        unsafe { real(signal, handler) }
                    };
                    let (before, as_set) = shield::around(signal, set);
                    note_of_children(signal);
                    as_set.instead_of(before)
                }
                None => {
                    errno::set(libc::ENOSYS);
                    libc::SIG_ERR
                }
            }
        }
    };
}

signal_function!(
    /// signal(3): calls restart, and the handler stays installed.
    signal, c"signal", libc::SA_RESTART
);
signal_function!(
    /// bsd_signal(3), the same.
    bsd_signal, c"bsd_signal", libc::SA_RESTART
);
signal_function!(
    /// ssignal(3), the same.
    ssignal, c"ssignal", libc::SA_RESTART
);
signal_function!(
    /// sysv_signal(3): the handler runs once, interrupts calls, and doesn't block its signal.
    sysv_signal, c"sysv_signal", libc::SA_RESETHAND | libc::SA_NODEFER
);
signal_function!(
    /// The name of `signal` under strict standard macros.
    __sysv_signal, c"__sysv_signal", libc::SA_RESETHAND | libc::SA_NODEFER
);

/// `sigset` takes it for a handler, and blocks the signal.
const SIG_HOLD: sighandler_t = 2;

/// sigset(3): a disposition, or SIG_HOLD to block the signal.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigset(signal: c_int, handler: sighandler_t) -> sighandler_t {
    static REAL: Real = Real::new(c"sigset");
    if !is_ours(signal) {
        // SAFETY: a null address is `None`; any other is libc's function.
        let real = unsafe { mem::transmute::<*mut c_void, Option<Signal>>(REAL.address()) };
        return match real {
            Some(real) => {
                let (before, as_set) =
                    // SAFETY: the caller's promise.
                    shield::around(signal, || unsafe { real(signal, handler) });
                as_set.instead_of(before)
            }
            None => {
                errno::set(libc::ENOSYS);
                libc::SIG_ERR
            }
        };
    }
    let this = SignalSet::only(signal);
    let (old, mask) = if handler == SIG_HOLD {
        (wanted(signal).handler, sys::block(this))
    } else {
        (simple(signal, handler, 0, 0), sys::unblock(this))
    };
    if old != libc::SIG_ERR && mask.meets(this) {
        SIG_HOLD
    } else {
        old
    }
}

/// siginterrupt(3): whether the signal's handler interrupts calls.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: nothing in, a live structure out.
    if unsafe { sigaction(signal, ptr::null(), &raw mut action) } != 0 {
        return -1;
    }
    if interrupts == 0 {
        action.sa_flags |= libc::SA_RESTART;
    } else {
        action.sa_flags &= !libc::SA_RESTART;
    }
    // SAFETY: a live structure in, nothing out.
    unsafe { sigaction(signal, &raw const action, ptr::null_mut()) }
}

/// sigignore(3)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigignore(signal: c_int) -> c_int {
    if simple(signal, libc::SIG_IGN, 0, 0) == libc::SIG_ERR {
        -1
    } else {
        0
    }
}
