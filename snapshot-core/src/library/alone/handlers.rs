//! Signal handlers for the library alone, for the same signals that a launcher would serve.
//!
//! SIGUSR1 takes a snapshot. SIGINT reverts to the newest one; if there is none, it does what
//! the program had set before.
//!
//! Context: the handlers are AS-SAFE; [`install`] is IN-PROCESS.
#![expect(unsafe_code, reason = "installs signal handlers")]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::{board, orientation};
use crate::restart_interrupted_call;
use crate::sys::Errno;
use crate::terms::Ended;

/// The program's action for SIGINT, leaked once so that a handler can read it.
static FORMER_INTERRUPT: AtomicPtr<libc::sigaction> = AtomicPtr::new(core::ptr::null_mut());

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn set(signal: c_int, handler: Handler) -> Result<libc::sigaction, Errno> {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut new: libc::sigaction = unsafe { core::mem::zeroed() };
    new.sa_sigaction = handler as *const () as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: fills a set that is a field of a local.
    unsafe { libc::sigfillset(&raw mut new.sa_mask) };
    // SAFETY: as above, for the structure the old action is written to.
    let mut old: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: the handler calls AS-SAFE code only, and both structures are locals.
    if unsafe { libc::sigaction(signal, &raw const new, &raw mut old) } == 0 {
        Ok(old)
    } else {
        Err(last_errno())
    }
}

/// Installs both handlers. A second call changes nothing.
#[allow(clippy::disallowed_types, reason = "not called by a handler")]
pub(crate) fn install() -> Result<(), Errno> {
    if !FORMER_INTERRUPT.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    let slot = Box::leak(Box::new(
        // SAFETY: all-zero is a valid `struct sigaction`, and means the default.
        unsafe { core::mem::zeroed::<libc::sigaction>() },
    ));
    FORMER_INTERRUPT.store(slot, Ordering::Release);
    set(libc::SIGUSR1, on_trigger)?;
    let former = set(libc::SIGINT, on_interrupt)?;
    // A SIGINT between these two lines finds the default and ends the program, as it would have
    // a moment before. SAFETY: the slot was leaked above and only a handler reads it, field by
    // field.
    unsafe { FORMER_INTERRUPT.load(Ordering::Acquire).write(former) };
    Ok(())
}

extern "C" fn on_trigger(signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    if !board::is_live() {
        return;
    }
    // SAFETY: the handler's mask is full, so it has interrupted no take of this thread.
    let _ = unsafe { orientation::take() };
    // SAFETY: the context is this handler's own.
    unsafe { restart_interrupted_call(signal, context.cast()) };
}

extern "C" fn on_interrupt(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if board::is_live() {
        // Returns only at depth 0.
        orientation::revert(0, Ended::Interrupted);
    }
    // SAFETY: the slot is null or was leaked by `install`.
    let Some(former) = (unsafe { FORMER_INTERRUPT.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    match former.sa_sigaction {
        libc::SIG_IGN => {
            // SAFETY: the context is this handler's own.
            unsafe { restart_interrupted_call(signal, context.cast()) };
        }
        libc::SIG_DFL => {
            // SAFETY: the default action runs no code of ours.
            unsafe { libc::sigaction(signal, former, core::ptr::null_mut()) };
            // The signal waits until this handler returns, and then ends the program. SAFETY:
            // raise is async-signal-safe.
            unsafe { libc::raise(signal) };
        }
        handler if former.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the program registered a three-argument handler at this address.
            let handler: Handler = unsafe { core::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the program registered a one-argument handler at this address.
            let handler: extern "C" fn(c_int) = unsafe { core::mem::transmute(handler) };
            handler(signal);
        }
    }
}
