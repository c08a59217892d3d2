//! What the kernel has for the trigger and SIGINT: the agent's handlers. To the rest of the
//! program they behave like the program's own dispositions.
//!
//! In a forked child, under a filter that forbids snapshots, and partly before an exec, the
//! kernel has the program's own again.
//!
//! Context: AS-SAFE. [`begin`] is IN-PROCESS, before `main`.

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{siginfo_t, ucontext_t};
use snapshot_core::sys::SignalSet;
use snapshot_core::terms::REQUEST_SIGNAL;
use snapshot_core::threads::takeover::{self, Serve};

use super::dispositions::{self, Disposition, alone, set_wanted, wanted};
use crate::real::Real;
use crate::session;

/// The signal that carries requests and parks threads. A program can't block it.
pub(crate) const REQUESTS: SignalSet = SignalSet::only(REQUEST_SIGNAL);

/// A signal handler with three arguments.
pub(crate) type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut ucontext_t);

/// The addresses of the agent's handlers. Relaxed: written before the handlers are installed,
/// while there is one thread.
static ON_TRIGGER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static ON_INTERRUPT: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);

/// Set once they are installed.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Installs the agent's handlers and keeps the former dispositions.
pub(crate) fn begin(on_trigger: Handler, on_interrupt: Handler, on_request: Serve) {
    ON_TRIGGER.store(on_trigger as usize, Ordering::Relaxed);
    ON_INTERRUPT.store(on_interrupt as usize, Ordering::Relaxed);
    for signal in session::signals() {
        let inherited = kernel_disposition(signal);
        set_wanted(signal, inherited);
        install(signal, inherited);
    }
    // If a filter forbids this handler, the supervisor finds only the trigger's.
    let _ = takeover::keep(on_request);
    // Release: a reader that sees it sees what was written above.
    BEGUN.store(true, Ordering::Release);
    // A forked child of the program has its own dispositions again. If this fails it has our
    // handlers, which see that it isn't the live process and do the same. SAFETY: the function
    // given is AS-SAFE.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
}

/// Whether the agent stands between the program and this signal.
pub(crate) fn is_ours(signal: c_int) -> bool {
    BEGUN.load(Ordering::Acquire) && dispositions::has(signal)
}

/// Whether this is the address of one of the agent's handlers.
pub(crate) fn is_our_handler(handler: usize) -> bool {
    [&ON_TRIGGER, &ON_INTERRUPT]
        .map(|ours| ours.load(Ordering::Relaxed))
        .contains(&handler)
}

/// Exchanges the program's disposition of one of our signals.
pub(crate) fn exchange(signal: c_int, new: Option<Disposition>) -> Disposition {
    alone(|| {
        let old = wanted(signal);
        if let Some(new) = new
            && dispositions::has(signal)
        {
            set_wanted(signal, new);
            install(signal, new);
        }
        old
    })
}

/// Ignored signals stay ignored in the next program; the kernel would reset a handler of ours
/// to the default.
pub(crate) fn before_exec() {
    for signal in session::signals() {
        if wanted(signal).handler == libc::SIG_IGN {
            set_real(signal, &wanted(signal).to_libc());
        }
    }
}

/// Gives the kernel the program's own dispositions, since our handlers could do nothing. A
/// trigger that the program has no handler for is ignored, since it must not end the program.
pub(crate) fn withdraw() {
    for signal in session::signals() {
        set_real(signal, &without_us(signal, wanted(signal)).to_libc());
    }
}

/// Installs our handlers again: the exec or the filter has failed.
pub(crate) fn reinstall() {
    for signal in session::signals() {
        install(signal, wanted(signal));
    }
}

extern "C" fn in_forked_child() {
    takeover::leave();
    for signal in session::signals() {
        set_real(signal, &wanted(signal).to_libc());
    }
}

fn without_us(signal: c_int, wanted: Disposition) -> Disposition {
    if signal == session::trigger() && !wanted.is_handler() {
        Disposition {
            handler: libc::SIG_IGN,
            ..wanted
        }
    } else {
        wanted
    }
}

/// Sets the kernel's action for one of our signals.
pub(super) fn install(signal: c_int, wanted: Disposition) {
    let action = if session::forbids_snapshots() {
        without_us(signal, wanted)
    } else if signal == libc::SIGINT {
        interrupt_action(wanted)
    } else {
        trigger_action(wanted)
    };
    set_real(signal, &action.to_libc());
}

fn interrupt_action(wanted: Disposition) -> Disposition {
    let inherited = libc::SA_RESTART | libc::SA_ONSTACK;
    Disposition {
        handler: ON_INTERRUPT.load(Ordering::Relaxed),
        flags: libc::SA_SIGINFO
            | if wanted.is_handler() {
                wanted.flags & inherited
            } else {
                libc::SA_RESTART
            },
        // Until the supervisor has said for whom the signal is. The program's handler runs with
        // its own mask: see `own_action`.
        mask: SignalSet::ALL.0,
    }
}

fn trigger_action(wanted: Disposition) -> Disposition {
    let handler = ON_TRIGGER.load(Ordering::Relaxed);
    if wanted.is_handler() {
        // Our handler blocks everything itself: it is entered with the mask that the program's
        // own handler should have. But no snapshot may be taken before it runs: after a revert
        // to it the signal would ask for another snapshot.
        let inherited = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_NODEFER;
        Disposition {
            handler,
            flags: libc::SA_SIGINFO | wanted.flags & inherited,
            mask: SignalSet(wanted.mask).with(REQUESTS).0,
        }
    } else {
        Disposition {
            handler,
            // Programs with tiny stacks expect handlers to run on the alternate one. That has
            // room for one frame, if at all: the take opens this signal, and the one that parks
            // threads, on a stack of its own.
            flags: libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK,
            mask: SignalSet::ALL.0,
        }
    }
}

type Sigaction = unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;

static REAL_SIGACTION: Real = Real::new(c"sigaction");

/// libc's function.
pub(crate) fn real_sigaction() -> Option<Sigaction> {
    let address = REAL_SIGACTION.address();
    // SAFETY: a null address is `None`; any other is libc's function of this type.
    unsafe { mem::transmute::<*mut c_void, Option<Sigaction>>(address) }
}

pub(super) fn set_real(signal: c_int, action: &libc::sigaction) {
    if let Some(real) = real_sigaction() {
        // SAFETY: a live structure in, nothing out; the handlers set are AS-SAFE or the
        // program's own.
        unsafe { real(signal, action, ptr::null_mut()) };
    }
}

/// The kernel's disposition before ours is installed.
fn kernel_disposition(signal: c_int) -> Disposition {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    if let Some(real) = real_sigaction() {
        // SAFETY: nothing in, a live structure out.
        unsafe { real(signal, ptr::null(), &raw mut action) };
    }
    Disposition::from_libc(&action)
}
