//! Filters of system calls (seccomp), and calls that are made to see what one does to them.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "system calls with arguments of others' choice")]

use super::{Result, check};
use crate::arch::syscall;

/// prctl(2) as the program has called it. The answer is the kernel's: a negative one is an
/// error's number.
///
/// # Safety
/// As of the option that is named first.
pub unsafe fn prctl_of_program(arguments: [usize; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the caller's promise.
    unsafe { syscall(libc::SYS_prctl, [a, b, c, d, e, 0]) }
}

/// seccomp(2) as the program has called it; the answer as above.
///
/// # Safety
/// As of the operation that is named first.
pub unsafe fn seccomp_of_program(arguments: [usize; 3]) -> i64 {
    let [a, b, c] = arguments;
    // SAFETY: the caller's promise.
    unsafe { syscall(libc::SYS_seccomp, [a, b, c, 0, 0, 0]) }
}

/// Any call, with arguments that can't do harm.
///
/// # Safety
/// They must be such.
pub(crate) unsafe fn harmless_call(number: i64, arguments: [usize; 6]) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { syscall(number, arguments) }
}

/// wait4(2): reaps one child, whatever signal it ends with. Gives its status.
///
/// # Errors
/// ECHILD where somebody else has.
pub(crate) fn reap(pid: i32) -> Result<i32> {
    let mut status = 0_i32;
    let place = (&raw mut status).expose_provenance();
    let wall = super::arg(libc::__WALL);
    loop {
        // SAFETY: writes one status, a live local.
        let done =
            check(unsafe { syscall(libc::SYS_wait4, [super::arg(pid), place, wall, 0, 0, 0]) });
        match done {
            Err(super::Errno(libc::EINTR)) => {}
            done => return done.map(|_| status),
        }
    }
}
