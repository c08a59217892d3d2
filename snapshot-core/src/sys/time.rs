//! Clocks and timers.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "timer system calls")]

use super::{Result, arg, check, plain, with};
use crate::arch::syscall;

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of a session.
pub fn now_ns() -> u64 {
    let mut time = [0_i64; 2];
    // SAFETY: clock_gettime writes one timespec, two longs, which `time` is.
    let _ = unsafe {
        syscall(
            libc::SYS_clock_gettime,
            [
                arg(libc::CLOCK_MONOTONIC),
                time.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        )
    };
    time[0].unsigned_abs() * 1_000_000_000 + time[1].unsigned_abs()
}

/// An interval timer: interval and time left, each in seconds and microseconds.
pub(crate) type IntervalTimer = [i64; 4];

/// getitimer(2)
///
/// # Errors
/// None that a valid `which` can cause.
pub(crate) fn interval_timer(which: i32) -> Result<IntervalTimer> {
    let mut timer = [0; 4];
    // SAFETY: getitimer writes two timevals, four longs, which `timer` is.
    check(unsafe {
        syscall(
            libc::SYS_getitimer,
            [
                arg(which),
                timer.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(timer)
}

/// setitimer(2)
///
/// # Errors
/// None that a valid `which` can cause.
pub(crate) fn set_interval_timer(which: i32, timer: &IntervalTimer) -> Result<()> {
    // SAFETY: setitimer reads two timevals, four longs, which `timer` is.
    check(unsafe {
        syscall(
            libc::SYS_setitimer,
            [arg(which), timer.as_ptr().expose_provenance(), 0, 0, 0, 0],
        )
    })
    .map(drop)
}

/// nanosleep(2), at most this long.
pub(crate) fn pause_ns(nanoseconds: u64) {
    let time = [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000];
    // SAFETY: reads a timespec of two longs; the remainder is not wanted.
    let _ = unsafe { with(libc::SYS_nanosleep, [time.as_ptr().expose_provenance(), 0]) };
}

/// Makes the kernel update the calling thread's scheduling statistics, which it otherwise does
/// at its next tick: reading the thread's processor time does that.
pub(crate) fn refresh_statistics() {
    let mut time = [0_i64; 2];
    // SAFETY: writes a timespec of two longs.
    let _ = unsafe {
        with(
            libc::SYS_clock_gettime,
            [
                arg(libc::CLOCK_THREAD_CPUTIME_ID),
                time.as_mut_ptr().expose_provenance(),
            ],
        )
    };
}

/// clock_gettime(2): seconds and nanoseconds.
///
/// # Errors
/// EINVAL if there is no such clock.
pub(crate) fn time_on(clock: i32) -> Result<[i64; 2]> {
    let mut time = [0_i64; 2];
    // SAFETY: writes one timespec, two longs.
    unsafe {
        with(
            libc::SYS_clock_gettime,
            [arg(clock), time.as_mut_ptr().expose_provenance()],
        )
    }?;
    Ok(time)
}

/// getrusage(2), in words.
pub(super) fn resource_usage(who: i32) -> [i64; size_of::<libc::rusage>() / 8] {
    let mut usage = [0; size_of::<libc::rusage>() / 8];
    // SAFETY: writes one `struct rusage`, as many words.
    let _ = unsafe {
        with(
            libc::SYS_getrusage,
            [arg(who), usage.as_mut_ptr().expose_provenance()],
        )
    };
    usage
}

/// getrusage(2): how many page faults the calling thread has had.
pub(crate) fn page_faults() -> i64 {
    let usage = resource_usage(libc::RUSAGE_THREAD);
    // Behind two times, of two words each, and four sizes: minor and major faults.
    usage[8] + usage[9]
}

/// getrusage(2): user and system time, in nanoseconds.
pub(crate) fn processor_times(who: i32) -> [i64; 2] {
    let usage = resource_usage(who);
    // It begins with two times, in seconds and microseconds.
    [0, 2].map(|at| usage[at] * 1_000_000_000 + usage[at + 1] * 1000)
}

/// The value of `timer_create` and `timer_settime`: interval and time left, each in seconds and
/// nanoseconds.
pub(crate) type TimerValue = [i64; 4];

/// The beginning of the kernel's `struct sigevent`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerEvent {
    pub(crate) value: u64,
    pub(crate) signal: i32,
    pub(crate) notify: i32,
    pub(crate) tid: i32,
    padding: [i32; 11],
}

impl TimerEvent {
    pub(crate) const fn new(value: u64, signal: i32, notify: i32, tid: i32) -> Self {
        Self {
            value,
            signal,
            notify,
            tid,
            padding: [0; 11],
        }
    }
}

/// timer_create(2): asks for `id` if [`restore_timer_ids`] is on; returns the new one.
///
/// # Errors
/// EINVAL if the thread or clock doesn't exist, EBUSY for an id in use.
pub(crate) fn timer_create(clock: i32, event: &TimerEvent, mut id: i32) -> Result<i32> {
    // SAFETY: reads one `sigevent` of 64 bytes, reads and writes one id.
    unsafe {
        with(
            libc::SYS_timer_create,
            [
                arg(clock),
                core::ptr::from_ref(event).expose_provenance(),
                (&raw mut id).expose_provenance(),
            ],
        )
    }?;
    Ok(id)
}

/// timer_delete(2)
pub(crate) fn timer_delete(id: i32) {
    let _ = plain(libc::SYS_timer_delete, [arg(id)]);
}

/// timer_gettime(2)
///
/// # Errors
/// EINVAL if there is no such timer.
pub(crate) fn timer_value(id: i32) -> Result<TimerValue> {
    let mut value = [0; 4];
    // SAFETY: writes two timespecs, four longs.
    unsafe {
        with(
            libc::SYS_timer_gettime,
            [arg(id), value.as_mut_ptr().expose_provenance()],
        )
    }?;
    Ok(value)
}

/// timer_settime(2), relative.
///
/// # Errors
/// EINVAL if there is no such timer.
pub(crate) fn set_timer_value(id: i32, value: &TimerValue) -> Result<()> {
    // SAFETY: reads two timespecs, four longs; the old value is not wanted.
    unsafe {
        with(
            libc::SYS_timer_settime,
            [arg(id), 0, value.as_ptr().expose_provenance(), 0],
        )
    }
    .map(drop)
}

/// prctl(PR_TIMER_CREATE_RESTORE_IDS), Linux 6.15: new timers get the requested id.
///
/// # Errors
/// EINVAL on an older kernel.
pub(crate) fn restore_timer_ids(on: bool) -> Result<()> {
    const PR_TIMER_CREATE_RESTORE_IDS: usize = 77;
    plain(
        libc::SYS_prctl,
        [PR_TIMER_CREATE_RESTORE_IDS, usize::from(on), 0, 0, 0],
    )
    .map(drop)
}
