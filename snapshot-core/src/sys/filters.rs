//! Filters of system calls (seccomp), and calls that test them.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "system calls with arguments of others' choice")]

use super::{Result, check};
use crate::arch::syscall;

/// prctl(2) as the program has called it. Returns the kernel's answer; a negative one is an
/// errno.
///
/// # Safety
/// As of the option that is named first.
pub unsafe fn prctl_of_program(arguments: [usize; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the caller's promise.
    unsafe { syscall(libc::SYS_prctl, [a, b, c, d, e, 0]) }
}

/// seccomp(2) as the program has called it; returns the same.
///
/// # Safety
/// As of the operation that is named first.
pub unsafe fn seccomp_of_program(arguments: [usize; 3]) -> i64 {
    let [a, b, c] = arguments;
    // SAFETY: the caller's promise.
    unsafe { syscall(libc::SYS_seccomp, [a, b, c, 0, 0, 0]) }
}

/// Any call, with harmless arguments.
///
/// # Safety
/// The arguments must be harmless.
pub(crate) unsafe fn harmless_call(number: i64, arguments: [usize; 6]) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { syscall(number, arguments) }
}

/// Forbids the calling thread all system calls but these, for good: the others fail with EPERM.
/// `STEPS` is their number plus five.
///
/// # Errors
/// EINVAL if the kernel has no filters; any error that an existing filter returns.
pub(crate) fn allow_only<const STEPS: usize>(calls: &[i64]) -> Result<()> {
    const MACHINE: u32 = 0xc000_003e;
    const EPERM: u32 = libc::EPERM.unsigned_abs();
    // The kernel rejects a filter with a jump that is too far.
    let jump = |steps: usize| u8::try_from(steps).unwrap_or(u8::MAX);
    let step = |code: u32, jt: usize, jf: usize, k: u32| libc::sock_filter {
        code: (code & 0xffff) as u16,
        jt: jump(jt),
        jf: jump(jf),
        k,
    };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let is = |what, yes, no| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, what);
    let answer = |what| step(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    let mut steps = [answer(libc::SECCOMP_RET_ERRNO | EPERM); STEPS];
    if calls.len() + 5 != STEPS {
        return Err(super::Errno(libc::EINVAL));
    }
    // A filter's data begins with the call's number, and then the machine of that number.
    steps[0] = load(4);
    steps[1] = is(MACHINE, 0, calls.len() + 1);
    steps[2] = load(0);
    for (at, &call) in calls.iter().enumerate() {
        steps[3 + at] = is((call & 0xffff_ffff) as u32, calls.len() - at, 0);
    }
    steps[4 + calls.len()] = answer(libc::SECCOMP_RET_ALLOW);
    let program = libc::sock_fprog {
        len: u16::try_from(STEPS).unwrap_or(0),
        filter: steps.as_mut_ptr(),
    };
    // A process without the right to filter may do it if no exec can give it rights.
    forbid_new_privileges()?;
    let mode = libc::SECCOMP_MODE_FILTER as usize;
    let place = (&raw const program).expose_provenance();
    // SAFETY: reads as many steps as there are, and keeps a copy.
    unsafe {
        super::with(
            libc::SYS_prctl,
            [libc::PR_SET_SECCOMP as usize, mode, place],
        )
    }
    .map(drop)
}

/// prctl(PR_SET_NO_NEW_PRIVS): from now on no exec gives the calling thread rights.
///
/// # Errors
/// None on a kernel that has filters.
pub(crate) fn forbid_new_privileges() -> Result<()> {
    super::plain(
        libc::SYS_prctl,
        [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0],
    )
    .map(drop)
}

/// Whether no exec can give the calling thread rights any more.
pub(crate) fn has_forbidden_new_privileges() -> bool {
    super::plain(
        libc::SYS_prctl,
        [libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0],
    ) == Ok(1)
}

/// seccomp(2): sets a filter for all threads of the process, and returns the listener of its
/// questions, close-on-exec. With `waits_killable`, a thread whose question has been received
/// waits for the answer whatever signal comes (Linux 5.19).
///
/// # Errors
/// EACCES if an exec could still give the process rights, and it may not set filters; ESRCH if a
/// thread has filters that the calling one lacks; EBUSY if there is a listener already.
pub(crate) fn filter_and_listen(
    program: &'static [libc::sock_filter],
    waits_killable: bool,
) -> Result<i32> {
    const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_ptr().cast_mut(),
    };
    let more = if waits_killable {
        WAIT_KILLABLE_RECV
    } else {
        0
    };
    // SAFETY: reads as many steps as there are, and keeps a copy.
    unsafe { set_filter(LISTEN | more, &raw const program) }.map(super::small)
}

/// Tries that call without a filter to set.
///
/// # Errors
/// EFAULT, if nothing forbids it.
pub(crate) fn try_to_listen() -> Result<usize> {
    // SAFETY: the kernel refuses to read a filter at null.
    unsafe { set_filter(LISTEN, core::ptr::null()) }
}

/// With a filter, kernels before 5.16 turn speculative loads off, which makes the program
/// slower. Not with SPEC_ALLOW.
const LISTEN: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_TSYNC
    | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
    | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

/// seccomp(SECCOMP_SET_MODE_FILTER)
///
/// # Safety
/// `program` must be null, or name as many steps as it says.
unsafe fn set_filter(flags: libc::c_ulong, program: *const libc::sock_fprog) -> Result<usize> {
    let arguments = [
        libc::SECCOMP_SET_MODE_FILTER as usize,
        usize::try_from(flags).unwrap_or(0),
        program.expose_provenance(),
    ];
    // SAFETY: the caller's promise.
    unsafe { super::with(libc::SYS_seccomp, arguments) }
}

/// wait4(2): reaps one child, whatever signal it ends with. Returns its status.
///
/// # Errors
/// ECHILD if another process has.
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
