//! Time in the guest: the limit of its calls, the clocks, and how long it waits for a
//! condition.

use std::time::Duration;

/// The time limit of each call that has one.
pub const LIMIT: Duration = Duration::from_secs(2);

/// The same in the kernel's form.
pub static LIMIT_SPEC: libc::timespec = libc::timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// No time at all.
pub const NO_TIME: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// The limit in milliseconds.
pub const LIMIT_MS: i32 = 2000;

/// How often `look` looks, every 5 ms. It counts looks and not time, so that frozen time
/// doesn't count.
const LOOKS: u32 = 1600;

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    let time = clock(libc::CLOCK_MONOTONIC);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or(0)
}

fn clock(id: libc::clockid_t) -> libc::timespec {
    let mut time = LIMIT_SPEC;
    // SAFETY: fills a live local.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time
}

/// The moment at which a call that begins now times out.
pub fn deadline(id: libc::clockid_t) -> libc::timespec {
    let mut time = clock(id);
    time.tv_sec += LIMIT_SPEC.tv_sec;
    time
}

/// Looks until the condition holds; false if it never does.
pub fn look(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
