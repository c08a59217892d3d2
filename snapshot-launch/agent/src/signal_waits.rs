//! The functions by which a program waits for a signal instead of handling it. A trigger that
//! comes from outside is a request, although no handler sees it: the snapshot is taken, and the
//! wait goes on.
//!
//! What is read of a `signalfd`, or waited for by calls that go around libc, is not seen here:
//! that program is told of a trigger from outside as of its own.
//!
//! Context: AS-SAFE, as far as libc's own are. Points of cancellation, as libc's are.

use core::ffi::c_int;
use core::mem;
use core::ptr;

use libc::{siginfo_t, sigset_t, timespec};
use snapshot_core::sys::{self, SignalInfo, SignalSet};
use snapshot_core::terms::OwnUse;

use crate::dispositions::{Real, real};
use crate::senders::Sender;
use crate::{errno, handlers, session};

static SIGTIMEDWAIT: Real = Real::new(c"sigtimedwait");
static SIGWAITINFO: Real = Real::new(c"sigwaitinfo");
static SIGWAIT: Real = Real::new(c"sigwait");

const SECOND_NS: u64 = 1_000_000_000;

/// Whether the trigger is among the signals that are waited for, in the live process. That is
/// said once.
///
/// # Safety
/// `set` must be readable or null.
unsafe fn waits_for_trigger(set: *const sigset_t, how: OwnUse) -> bool {
    if set.is_null() || !session::is_live() {
        return false;
    }
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let set = SignalSet(unsafe { set.cast::<u64>().read() });
    let waits = set.meets(session::trigger_set());
    if waits {
        handlers::tell_of_use(how);
    }
    waits
}

/// Takes what was asked for by this signal, if it is a request. False if it is the program's.
fn served(signal: c_int, info: &siginfo_t) -> bool {
    if signal != session::trigger() {
        return false;
    }
    // SAFETY: libc has filled it in, as a handler would find it.
    let told = unsafe { SignalInfo::of_handler(info) };
    if Sender::of(&told).is_inside(true) {
        return false;
    }
    handlers::serve_waited_for();
    true
}

/// sigtimedwait(2), until it is a signal of the program's own. The time that is left is less
/// after each request.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigtimedwait(
    set: *const sigset_t,
    info: *mut siginfo_t,
    timeout: *const timespec,
) -> c_int {
    if timeout.is_null() {
        // SAFETY: the caller's promise.
        return unsafe { sigwaitinfo(set, info) };
    }
    // SAFETY: the caller's promise.
    if !unsafe { waits_for_trigger(set, OwnUse::Waits) } {
        return real!(
            SIGTIMEDWAIT: fn(*const sigset_t, *mut siginfo_t, *const timespec),
            set,
            info,
            timeout
        );
    }
    let begun_ns = sys::now_ns();
    // SAFETY: the caller's promise.
    let whole = unsafe { timeout.read() };
    let mut left = whole;
    loop {
        // SAFETY: all-zero is a valid siginfo.
        let mut told: siginfo_t = unsafe { mem::zeroed() };
        let answer = real!(
            SIGTIMEDWAIT: fn(*const sigset_t, *mut siginfo_t, *const timespec),
            set,
            &raw mut told,
            &raw const left
        );
        if answer < 0 || !served(answer, &told) {
            // SAFETY: the caller's promise.
            unsafe { hand_on(answer, &told, info) };
            return answer;
        }
        left = less(whole, sys::now_ns().saturating_sub(begun_ns));
    }
}

/// What is left of a time.
fn less(whole: timespec, elapsed_ns: u64) -> timespec {
    let seconds = u64::try_from(whole.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(whole.tv_nsec).unwrap_or(0);
    let whole_ns = seconds
        .saturating_mul(SECOND_NS)
        .saturating_add(nanoseconds);
    let left_ns = whole_ns.saturating_sub(elapsed_ns);
    timespec {
        tv_sec: i64::try_from(left_ns / SECOND_NS).unwrap_or(0),
        tv_nsec: i64::try_from(left_ns % SECOND_NS).unwrap_or(0),
    }
}

/// # Safety
/// `info` must be writable or null.
unsafe fn hand_on(answer: c_int, told: &siginfo_t, info: *mut siginfo_t) {
    if answer >= 0 && !info.is_null() {
        // SAFETY: the caller's promise.
        unsafe { info.write(*told) };
    }
}

/// sigwaitinfo(2), until it is a signal of the program's own.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigwaitinfo(set: *const sigset_t, info: *mut siginfo_t) -> c_int {
    // SAFETY: the caller's promise.
    if !unsafe { waits_for_trigger(set, OwnUse::Waits) } {
        return real!(SIGWAITINFO: fn(*const sigset_t, *mut siginfo_t), set, info);
    }
    loop {
        // SAFETY: all-zero is a valid siginfo.
        let mut told: siginfo_t = unsafe { mem::zeroed() };
        let answer = real!(
            SIGWAITINFO: fn(*const sigset_t, *mut siginfo_t),
            set,
            &raw mut told
        );
        if answer < 0 || !served(answer, &told) {
            // SAFETY: the caller's promise.
            unsafe { hand_on(answer, &told, info) };
            return answer;
        }
    }
}

/// sigwait(3), until it is a signal of the program's own. It goes on where a handler
/// interrupts it, as libc's does.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigwait(set: *const sigset_t, signal: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    if !unsafe { waits_for_trigger(set, OwnUse::Waits) } {
        return real!(SIGWAIT: fn(*const sigset_t, *mut c_int), set, signal);
    }
    let before = errno::get();
    loop {
        // SAFETY: the caller's promise; nobody wants to know more.
        let answer = unsafe { sigwaitinfo(set, ptr::null_mut()) };
        let failure = errno::get();
        if answer < 0 && failure == libc::EINTR {
            continue;
        }
        errno::set(before);
        if answer < 0 {
            return failure;
        }
        // SAFETY: the caller's promise.
        unsafe { signal.write(answer) };
        return 0;
    }
}

/// signalfd(2). What is read of it is as without the tool; that a trigger from outside is read
/// there as well is said.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signalfd(fd: c_int, set: *const sigset_t, flags: c_int) -> c_int {
    static REAL: Real = Real::new(c"signalfd");
    // SAFETY: the caller's promise.
    unsafe { waits_for_trigger(set, OwnUse::Reads) };
    real!(REAL: fn(c_int, *const sigset_t, c_int), fd, set, flags)
}
