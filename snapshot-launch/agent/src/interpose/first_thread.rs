//! `pthread_create`: with the first new thread libc installs its own handler for the signal
//! that carries requests and parks threads. The agent then installs its handler again.
//!
//! Limits: threads that libc makes by itself, for timers or C11's `thrd_create`, are not seen
//! here. A request then reaches libc's handler, which ignores it, and the supervisor asks by the
//! trigger.
//!
//! Context: AS-SAFE, as far as libc's own is.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

use libc::{pthread_attr_t, pthread_t};
use snapshot_core::threads::takeover;

use crate::real::{Real, real};
use crate::session;

/// Whether the program has made a thread.
static SEEN: AtomicBool = AtomicBool::new(false);

static PTHREAD_CREATE: Real = Real::new(c"pthread_create");

/// pthread_create(3)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    let answer = real!(
        PTHREAD_CREATE: fn(
            *mut pthread_t,
            *const pthread_attr_t,
            extern "C" fn(*mut c_void) -> *mut c_void,
            *mut c_void
        ),
        thread,
        attributes,
        start,
        argument
    );
    if !SEEN.load(Ordering::Relaxed) && session::is_live() {
        takeover::keep_on();
        SEEN.store(true, Ordering::Relaxed);
    }
    answer
}
