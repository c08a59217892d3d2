//! The take-over of signal 33, the one signal that reaches every thread, since no program can
//! block it.
//!
//! libc reserves it for `setuid` and its like in a program with threads. While threads are
//! parked its handler is ours; it passes on every signal that is not ours.
//!
//! In a session the handler stays ours, since requests for a snapshot come by this signal too:
//! see [`keep`]. libc installs its own once, with the first `pthread_create`, and the agent
//! then installs ours again. The library alone puts libc's back after each take. If libc has
//! not installed one yet, the default would end the program, so ours stays for as long as a
//! signal of ours may still arrive.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "installs a signal handler, and calls libc's")]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use libc::{siginfo_t, ucontext_t};

use crate::arch;
use crate::sys::{self, KernelAction, SA_RESTORER, SignalInfo, SignalSet};
use crate::terms::{REQUEST_MAGIC, REQUEST_SIGNAL};

/// glibc's SIGSETXID.
pub(crate) const SIGNAL: i32 = REQUEST_SIGNAL;

/// Serves the request with this number, in the handler of this context, with all signals
/// blocked.
pub type Serve = unsafe extern "C" fn(u32, *mut ucontext_t);

/// What serves requests; null if none come.
static SERVE: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// What a thread does on a signal of the engine's with this value; false if the value is not
/// the engine's.
pub(crate) type Answer = unsafe fn(usize, *mut ucontext_t) -> bool;

/// What answers the engine's signals; null before the first is sent.
static ANSWER: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// The handler before ours. It is written before ours is installed.
static FORMER_HANDLER: AtomicUsize = AtomicUsize::new(0);
static FORMER_FLAGS: AtomicU64 = AtomicU64::new(0);
static FORMER_RESTORER: AtomicUsize = AtomicUsize::new(0);
static FORMER_MASK: AtomicU64 = AtomicU64::new(0);

/// Signals of ours that are sent and have not arrived.
static UNDERWAY: AtomicU32 = AtomicU32::new(0);

fn handler() -> usize {
    on_signal as *const () as usize
}

/// Sets what answers the engine's signals.
pub(crate) fn answer_by(answer: Answer) {
    ANSWER.store(answer as *mut c_void, Ordering::Release);
}

/// Installs our handler for good. `serve` gets each request's number.
///
/// # Errors
/// As `rt_sigaction(2)`.
pub fn keep(serve: Serve) -> sys::Result<()> {
    SERVE.store(serve as *mut c_void, Ordering::Release);
    install()
}

/// Installs our handler again, if it is to stay and libc has installed its own since.
pub fn keep_on() {
    if !SERVE.load(Ordering::Acquire).is_null() {
        let _ = install();
    }
}

/// In a forked child of the program: libc's handler is installed again.
pub fn leave() {
    if !SERVE
        .swap(core::ptr::null_mut(), Ordering::AcqRel)
        .is_null()
    {
        forget_all();
        remove();
    }
}

/// Installs our handler.
///
/// # Errors
/// Any error of rt_sigaction; a filter may forbid it.
pub(crate) fn install() -> sys::Result<()> {
    let ours = KernelAction {
        handler: handler(),
        // Programs with tiny stacks expect handlers to run on the alternate one.
        flags: (libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK) as u64 | SA_RESTORER,
        restorer: arch::restore_from_signal as *const () as usize,
        mask: SignalSet::ALL,
    };
    // SAFETY: asks only.
    let former = unsafe { sys::sigaction(SIGNAL, None) }?;
    if former.handler == ours.handler {
        return Ok(());
    }
    FORMER_HANDLER.store(former.handler, Ordering::Relaxed);
    FORMER_FLAGS.store(former.flags, Ordering::Relaxed);
    FORMER_RESTORER.store(former.restorer, Ordering::Relaxed);
    FORMER_MASK.store(former.mask.0, Ordering::Release);
    // SAFETY: our handler is AS-SAFE, and so is its restorer.
    unsafe { sys::sigaction(SIGNAL, Some(&ours)) }.map(drop)
}

/// Puts the former handler back, unless a signal of ours is still under way and the former one
/// would end the program.
pub(crate) fn remove() {
    if !SERVE.load(Ordering::Acquire).is_null() {
        return;
    }
    let former = KernelAction {
        handler: FORMER_HANDLER.load(Ordering::Relaxed),
        flags: FORMER_FLAGS.load(Ordering::Relaxed),
        restorer: FORMER_RESTORER.load(Ordering::Relaxed),
        mask: SignalSet(FORMER_MASK.load(Ordering::Acquire)),
    };
    if former.handler == libc::SIG_DFL && UNDERWAY.load(Ordering::Acquire) != 0 {
        return;
    }
    // SAFETY: asks only.
    if let Ok(now) = unsafe { sys::sigaction(SIGNAL, None) }
        && now.handler == handler()
    {
        // SAFETY: what libc, or the kernel, had there.
        let _ = unsafe { sys::sigaction(SIGNAL, Some(&former)) };
    }
}

/// Sends a thread our signal.
///
/// # Errors
/// ESRCH if it has ended; EAGAIN if no more signals can be queued.
pub(crate) fn send(tid: i32, value: usize) -> sys::Result<()> {
    UNDERWAY.fetch_add(1, Ordering::AcqRel);
    let sent = sys::queue_to_thread(tid, &SignalInfo::queued(SIGNAL, value as u64));
    if sent.is_err() {
        forget_one();
    }
    sent
}

/// A sent signal will not arrive: its thread has ended.
pub(crate) fn forget_one() {
    UNDERWAY.fetch_sub(1, Ordering::AcqRel);
}

/// In a copy nothing is under way.
pub(crate) fn forget_all() {
    UNDERWAY.store(0, Ordering::Release);
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    // SAFETY: the handler's own argument, which the kernel has written.
    let code = unsafe { (*info).si_code };
    if code == libc::SI_QUEUE {
        // SAFETY: as above.
        let info = unsafe { &*info };
        // SAFETY: a queued signal has a value.
        let value = unsafe { info.si_value() }.sival_ptr.addr();
        let value_of_request = value as u64;
        if value_of_request & !0xffff_ffff == REQUEST_MAGIC {
            // SAFETY: `keep` was given it, and its condition holds.
            let serve = unsafe {
                core::mem::transmute::<*mut c_void, Option<Serve>>(SERVE.load(Ordering::Acquire))
            };
            if let Some(serve) = serve {
                // SAFETY: the handler's own argument.
                unsafe { serve((value_of_request & 0xffff_ffff) as u32, context) };
            }
            return;
        }
        // SAFETY: what `answer_by` was given, or null.
        let answer = unsafe {
            core::mem::transmute::<*mut c_void, Option<Answer>>(ANSWER.load(Ordering::Acquire))
        };
        // SAFETY: the handler's own argument.
        if answer.is_some_and(|answer| unsafe { answer(value, context) }) {
            return;
        }
    }
    let former = FORMER_HANDLER.load(Ordering::Relaxed);
    if former != libc::SIG_DFL && former != libc::SIG_IGN {
        // SAFETY: libc's handler has three arguments. A program's handler may have one, and
        // then ignores the other two.
        let former: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
            unsafe { core::mem::transmute(former) };
        former(signal, info, context.cast());
    }
}
