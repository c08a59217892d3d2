//! The functions by which a program waits for a signal instead of handling it. A trigger from
//! outside is a request, although no handler sees it: the agent takes the snapshot, and the
//! wait goes on.
//!
//! Limits: reads of a `signalfd`, and waits by direct system calls, are not seen here. Such a
//! program gets a trigger from outside as if it were its own.
//!
//! Context: AS-SAFE, as far as libc's own are. Points of cancellation, as libc's are.

use core::ffi::c_int;
use core::mem;
use core::ptr;

use libc::{siginfo_t, sigset_t, timespec};
use snapshot_core::sys::{self, SignalInfo, SignalSet};
use snapshot_core::terms::OwnUse;

use crate::real::{Real, real};
use crate::requests::answering;
use crate::signals::senders::Sender;
use crate::{errno, session};

static SIGTIMEDWAIT: Real = Real::new(c"sigtimedwait");
static SIGWAITINFO: Real = Real::new(c"sigwaitinfo");
static SIGWAIT: Real = Real::new(c"sigwait");

const SECOND_NS: u64 = 1_000_000_000;

/// Whether the wait is for the trigger, in the live process. The supervisor hears of that once.
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
        session::report_use(how);
    }
    waits
}

/// Takes the snapshot that this signal asks for. False if the signal is the program's.
fn served(signal: c_int, info: &siginfo_t) -> bool {
    if signal != session::trigger() {
        return false;
    }
    // SAFETY: libc has filled it in, as a handler would find it.
    let info = unsafe { SignalInfo::of_handler(info) };
    if Sender::of(&info).is_inside(true) {
        return false;
    }
    answering::answer_waited_for();
    true
}

/// sigtimedwait(2), until a signal of the program's own comes. After a request the wait goes on
/// for the time that is left.
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
        let mut received: siginfo_t = unsafe { mem::zeroed() };
        let answer = real!(
            SIGTIMEDWAIT: fn(*const sigset_t, *mut siginfo_t, *const timespec),
            set,
            &raw mut received,
            &raw const left
        );
        if answer < 0 || !served(answer, &received) {
            // SAFETY: the caller's promise.
            unsafe { hand_on(answer, &received, info) };
            return answer;
        }
        left = less(whole, sys::now_ns().saturating_sub(begun_ns));
    }
}

/// The rest of a time.
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

/// Gives the program the signal, if it wants to see it.
///
/// # Safety
/// `info` must be writable or null.
unsafe fn hand_on(answer: c_int, received: &siginfo_t, info: *mut siginfo_t) {
    if answer >= 0 && !info.is_null() {
        // SAFETY: the caller's promise.
        unsafe { info.write(*received) };
    }
}

/// sigwaitinfo(2), until a signal of the program's own comes.
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
        let mut received: siginfo_t = unsafe { mem::zeroed() };
        let answer = real!(
            SIGWAITINFO: fn(*const sigset_t, *mut siginfo_t),
            set,
            &raw mut received
        );
        if answer < 0 || !served(answer, &received) {
            // SAFETY: the caller's promise.
            unsafe { hand_on(answer, &received, info) };
            return answer;
        }
    }
}

/// sigwait(3), until a signal of the program's own comes. It goes on after a handler has
/// interrupted it, as libc's does.
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
        // SAFETY: the caller's promise; null, since the number alone is wanted.
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

/// signalfd(2). The program reads from it as without the tool, even a trigger from outside. The
/// agent reports that to the supervisor.
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
