//! The functions that return used processor time.
//!
//! The kernel counts anew from a revert on. So these functions add the time used up to the
//! snapshot, and the time never goes back. Before the first revert they add nothing. A clock of
//! another kind costs a comparison.
//!
//! Limits: a direct system call, `/proc`, absolute times of timers on such clocks and the
//! limit RLIMIT_CPU count from the revert on.
//!
//! Context: AS-SAFE, as the functions of libc are.

use core::ffi::{c_int, c_void};
use core::mem;

use libc::{clock_t, clockid_t, rusage, timespec, timeval, tms};
use snapshot_core::process::cpu_times;
use snapshot_core::sys;

use crate::real::{Real, real};
use crate::{errno, session};

static CLOCK_GETTIME: Real = Real::new(c"clock_gettime");
static GETRUSAGE: Real = Real::new(c"getrusage");
static TIMES: Real = Real::new(c"times");

const SECOND: i64 = 1_000_000_000;

/// Whether these functions add anything. In a child they don't: it counts for itself.
fn is_added() -> bool {
    cpu_times::is_any_added() && session::is_live()
}

/// What to add to a clock; `None` for another process's, and for one that doesn't count
/// processor time.
fn added(clock: clockid_t) -> Option<i64> {
    let (used, which) = match clock {
        libc::CLOCK_PROCESS_CPUTIME_ID => (cpu_times::of_process(), 2),
        libc::CLOCK_THREAD_CPUTIME_ID => (cpu_times::of_thread(sys::gettid()), 2),
        clock if clock < 0 => {
            // The complement of an id, above three bits: whether it is a thread's, and which of
            // its times; 3 is a device's clock.
            let id = !(clock >> 3);
            let used = match (clock & 4 != 0, id) {
                (true, 0) => cpu_times::of_thread(sys::gettid()),
                (true, tid) => cpu_times::of_thread(tid),
                (false, pid) if pid == 0 || pid == sys::getpid() => cpu_times::of_process(),
                (false, _) => return None,
            };
            (used, clock & 3)
        }
        _ => return None,
    };
    match which {
        0 | 2 => Some(used.total),
        1 => Some(used.user),
        _ => None,
    }
}

fn is_of_processor(clock: clockid_t) -> bool {
    clock < 0 || clock == libc::CLOCK_PROCESS_CPUTIME_ID || clock == libc::CLOCK_THREAD_CPUTIME_ID
}

/// clock_gettime(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // Programs ask for the time of day millions of times: that must cost a jump only.
    if !is_of_processor(clock) {
        return real!(CLOCK_GETTIME: fn(clockid_t, *mut timespec), clock, time);
    }
    // SAFETY: the caller's promise.
    unsafe { processor_time(clock, time) }
}

#[cold]
unsafe fn processor_time(clock: clockid_t, time: *mut timespec) -> c_int {
    let answer = real!(CLOCK_GETTIME: fn(clockid_t, *mut timespec), clock, time);
    if answer == 0
        && is_added()
        && let Some(added) = added(clock)
        // SAFETY: the kernel has written it.
        && let Some(time) = unsafe { time.as_mut() }
    {
        let all = time.tv_sec * SECOND + time.tv_nsec + added;
        time.tv_sec = all.div_euclid(SECOND);
        time.tv_nsec = all.rem_euclid(SECOND);
    }
    answer
}

/// clock(3): libc's own does not call the function above.
#[unsafe(no_mangle)]
pub extern "C" fn clock() -> clock_t {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a live local to write to.
    if unsafe { clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0 {
        return -1;
    }
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

fn add_to(time: &mut timeval, added: i64) {
    let all = time.tv_sec * SECOND + time.tv_usec * 1000 + added;
    time.tv_sec = all.div_euclid(SECOND);
    time.tv_usec = all.rem_euclid(SECOND) / 1000;
}

/// getrusage(2): adds to the times in it.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrusage(who: c_int, usage: *mut rusage) -> c_int {
    let answer = real!(GETRUSAGE: fn(c_int, *mut rusage), who, usage);
    if answer == 0 && is_added() {
        let added = match who {
            libc::RUSAGE_SELF => cpu_times::of_process(),
            libc::RUSAGE_THREAD => cpu_times::of_thread(sys::gettid()),
            _ => cpu_times::of_children(),
        };
        // SAFETY: the kernel has written it.
        if let Some(usage) = unsafe { usage.as_mut() } {
            add_to(&mut usage.ru_utime, added.user);
            add_to(&mut usage.ru_stime, added.total - added.user);
        }
    }
    answer
}

/// User and system time, in ticks. To programs a tick is a hundredth of a second.
fn used_ticks(who: c_int) -> (clock_t, clock_t) {
    // SAFETY: all-zero is a valid `struct rusage`.
    let mut usage: rusage = unsafe { mem::zeroed() };
    // SAFETY: a live local to write to.
    unsafe { getrusage(who, &raw mut usage) };
    let ticks = |time: timeval| time.tv_sec * 100 + time.tv_usec / 10_000;
    (ticks(usage.ru_utime), ticks(usage.ru_stime))
}

/// times(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn times(buffer: *mut tms) -> clock_t {
    type Times = unsafe extern "C" fn(*mut tms) -> clock_t;
    // SAFETY: a null address is `None`; any other is libc's function of this type.
    let real = unsafe { mem::transmute::<*mut c_void, Option<Times>>(TIMES.address()) };
    let Some(real) = real else {
        errno::set(libc::ENOSYS);
        return -1;
    };
    // SAFETY: the caller's promise.
    let answer = unsafe { real(buffer) };
    if answer != -1 && is_added() {
        // SAFETY: null, or written by the kernel.
        if let Some(buffer) = unsafe { buffer.as_mut() } {
            // From the exact times: a sum of two rounded ones may go back by one tick.
            (buffer.tms_utime, buffer.tms_stime) = used_ticks(libc::RUSAGE_SELF);
            (buffer.tms_cutime, buffer.tms_cstime) = used_ticks(libc::RUSAGE_CHILDREN);
        }
    }
    answer
}
