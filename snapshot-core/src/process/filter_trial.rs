//! Tries a filter of system calls on a task of our own before the program sets it: does it
//! allow the calls that a snapshot needs? A forbidden call may end the process that makes it.
//!
//! The task shares the program's memory and nothing else. It makes each call twice, without the
//! filter and with it, with arguments that do nothing. If it survives with the same answers,
//! the program may be snapshotted.
//!
//! Last it tries the call by which the kernel is made to ask the journal. Where a filter forbids
//! that alone, there are snapshots, and no take makes the call.
//!
//! Context: AS-SAFE. Called by the agent when the program sets a filter.
#![expect(
    unsafe_code,
    reason = "makes a task that shares memory, and calls of it"
)]

use core::ffi::c_void;
use core::mem::size_of;
use core::ptr;

use super::listener;
use crate::arch::{self, SYS_CLONE3};
use crate::sys::{self, CloneArguments, SignalSet};
use crate::terms::Filter;

const STACK_BYTES: usize = 64 * 1024;

/// A call that the engine makes.
struct Call {
    number: i64,
    arguments: [usize; 6],
    /// Whether no take works without it; else an error concerns one kind of object.
    is_needed: bool,
}

const BAD: usize = usize::MAX;
/// TIOCGPGRP.
const GET_FOREGROUND: usize = 0x540f;

const fn needed(number: i64, first: [usize; 4]) -> Call {
    let [a, b, c, d] = first;
    Call {
        number,
        arguments: [a, b, c, d, 0, 0],
        is_needed: true,
    }
}

const fn useful(number: i64, first: [usize; 4]) -> Call {
    Call {
        is_needed: false,
        ..needed(number, first)
    }
}

/// With invalid descriptors, null pointers and sizes of 0: each call fails, or returns a
/// number. Arguments that a filter may look at are real.
const CALLS: &[Call] = &[
    needed(libc::SYS_getpid, [0; 4]),
    needed(libc::SYS_gettid, [0; 4]),
    needed(libc::SYS_getppid, [0; 4]),
    needed(libc::SYS_rt_sigprocmask, [0, 0, 0, 8]),
    needed(libc::SYS_rt_sigaction, [0, 0, 0, 8]),
    needed(libc::SYS_rt_sigpending, [0, 8, 0, 0]),
    needed(libc::SYS_rt_sigtimedwait, [0, 0, 0, 8]),
    needed(libc::SYS_rt_tgsigqueueinfo, [0; 4]),
    needed(libc::SYS_rt_sigqueueinfo, [0; 4]),
    needed(libc::SYS_tgkill, [BAD, BAD, 0, 0]),
    needed(libc::SYS_kill, [0; 4]),
    needed(libc::SYS_sigaltstack, [0; 4]),
    needed(
        libc::SYS_futex,
        [
            0,
            (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize,
            1,
            0,
        ],
    ),
    needed(libc::SYS_poll, [0; 4]),
    needed(libc::SYS_nanosleep, [0; 4]),
    needed(libc::SYS_sched_yield, [0; 4]),
    needed(
        libc::SYS_socket,
        [
            libc::AF_UNIX as usize,
            (libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC) as usize,
            0,
            0,
        ],
    ),
    needed(libc::SYS_connect, [BAD, 0, 0, 0]),
    needed(libc::SYS_sendto, [BAD, 0, 0, 0]),
    needed(libc::SYS_recvmsg, [BAD, 0, 0, 0]),
    needed(libc::SYS_openat, [BAD, 0, 0, 0]),
    needed(libc::SYS_read, [BAD, 0, 0, 0]),
    needed(libc::SYS_close, [BAD, 0, 0, 0]),
    needed(libc::SYS_close_range, [4, 3, 0, 0]),
    needed(libc::SYS_getdents64, [BAD, 0, 0, 0]),
    needed(libc::SYS_fcntl, [BAD, libc::F_GETFL as usize, 0, 0]),
    needed(libc::SYS_fcntl, [BAD, libc::F_DUPFD_CLOEXEC as usize, 0, 0]),
    needed(libc::SYS_dup3, [BAD, 0, 0, 0]),
    needed(libc::SYS_lseek, [BAD, 0, 0, 0]),
    needed(libc::SYS_readlinkat, [BAD, 0, 0, 0]),
    needed(libc::SYS_mmap, [0; 4]),
    needed(libc::SYS_munmap, [0; 4]),
    needed(libc::SYS_mprotect, [1, 0, 0, 0]),
    needed(libc::SYS_madvise, [1, 0, 0, 0]),
    needed(SYS_CLONE3, [0; 4]),
    needed(
        libc::SYS_waitid,
        [libc::P_PID as usize, 1, 0, libc::WEXITED as usize],
    ),
    needed(libc::SYS_wait4, [1, 0, libc::WNOHANG as usize, 0]),
    needed(libc::SYS_getpgid, [0; 4]),
    needed(libc::SYS_getsid, [0; 4]),
    needed(libc::SYS_setpgid, [BAD, BAD, 0, 0]),
    needed(libc::SYS_prctl, [libc::PR_GET_PDEATHSIG as usize, 0, 0, 0]),
    needed(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0]),
    needed(libc::SYS_prctl, [libc::PR_SET_NAME as usize, 0, 0, 0]),
    needed(libc::SYS_prctl, [libc::PR_GET_TIMERSLACK as usize, 0, 0, 0]),
    needed(libc::SYS_arch_prctl, [0x1003, 0, 0, 0]),
    needed(libc::SYS_set_tid_address, [0; 4]),
    needed(libc::SYS_set_robust_list, [0, 24, 0, 0]),
    needed(libc::SYS_get_robust_list, [0; 4]),
    needed(libc::SYS_rseq, [0; 4]),
    needed(libc::SYS_getresuid, [0; 4]),
    needed(libc::SYS_getresgid, [0; 4]),
    needed(libc::SYS_getitimer, [BAD, 0, 0, 0]),
    needed(libc::SYS_sched_getaffinity, [0; 4]),
    needed(libc::SYS_sched_getattr, [0; 4]),
    useful(libc::SYS_sched_setaffinity, [0; 4]),
    useful(libc::SYS_getcpu, [0; 4]),
    useful(libc::SYS_getrusage, [BAD, 0, 0, 0]),
    useful(libc::SYS_prlimit64, [0, BAD, 0, 0]),
    useful(libc::SYS_sched_setattr, [0; 4]),
    useful(libc::SYS_setpriority, [BAD, 0, 0, 0]),
    useful(libc::SYS_chdir, [0; 4]),
    useful(libc::SYS_kcmp, [BAD, BAD, 0, 0]),
    useful(libc::SYS_signalfd4, [BAD, 0, 0, 0]),
    useful(libc::SYS_pidfd_open, [BAD, 0, 0, 0]),
    useful(libc::SYS_fstat, [BAD, 0, 0, 0]),
    useful(libc::SYS_newfstatat, [BAD, 0, 0, 0]),
    useful(libc::SYS_ioctl, [BAD, GET_FOREGROUND, 0, 0]),
    useful(libc::SYS_sendmsg, [BAD, 0, 0, 0]),
    useful(libc::SYS_recvfrom, [BAD, 0, 0, 0]),
    useful(libc::SYS_getsockopt, [BAD, 0, 0, 0]),
    useful(libc::SYS_setsockopt, [BAD, 0, 0, 0]),
    useful(libc::SYS_getsockname, [BAD, 0, 0, 0]),
    useful(libc::SYS_getpeername, [BAD, 0, 0, 0]),
    useful(libc::SYS_socketpair, [BAD, 0, 0, 0]),
    useful(libc::SYS_bind, [BAD, 0, 0, 0]),
    useful(libc::SYS_listen, [BAD, 0, 0, 0]),
    useful(libc::SYS_shutdown, [BAD, 0, 0, 0]),
    useful(libc::SYS_accept4, [BAD, 0, 0, 0]),
    useful(libc::SYS_pipe2, [0, BAD, 0, 0]),
    useful(libc::SYS_tee, [BAD, BAD, 0, 0]),
    useful(libc::SYS_write, [BAD, 0, 0, 0]),
    useful(libc::SYS_pread64, [BAD, 0, 0, 0]),
    useful(libc::SYS_pwrite64, [BAD, 0, 0, 0]),
    useful(libc::SYS_ftruncate, [BAD, 0, 0, 0]),
    useful(libc::SYS_flock, [BAD, 0, 0, 0]),
    useful(libc::SYS_epoll_create1, [BAD, 0, 0, 0]),
    useful(libc::SYS_epoll_ctl, [BAD, BAD, BAD, 0]),
    useful(libc::SYS_eventfd2, [0, BAD, 0, 0]),
    useful(libc::SYS_timerfd_create, [BAD, 0, 0, 0]),
    useful(libc::SYS_timerfd_settime, [BAD, 0, 0, 0]),
    useful(libc::SYS_timerfd_gettime, [BAD, 0, 0, 0]),
    useful(libc::SYS_inotify_init1, [BAD, 0, 0, 0]),
    useful(libc::SYS_inotify_add_watch, [BAD, 0, 0, 0]),
    useful(libc::SYS_memfd_create, [0; 4]),
    useful(libc::SYS_mremap, [1, 0, 0, 0]),
    useful(libc::SYS_mincore, [1, 0, 0, 0]),
    useful(libc::SYS_mlock2, [0, 0, BAD, 0]),
    useful(libc::SYS_mlockall, [0; 4]),
    useful(libc::SYS_setitimer, [BAD, 0, 0, 0]),
    useful(libc::SYS_timer_create, [BAD, 0, 0, 0]),
    useful(libc::SYS_timer_gettime, [BAD, 0, 0, 0]),
    useful(libc::SYS_timer_settime, [BAD, 0, 0, 0]),
    useful(libc::SYS_timer_delete, [BAD, 0, 0, 0]),
    useful(libc::SYS_process_vm_readv, [BAD, 0, 0, 0]),
];

/// What the task finds. Its maker waits meanwhile, and reads it.
struct Trial<'a> {
    install: &'a dyn Fn() -> bool,
    answers: [i64; CALLS.len()],
    /// The call that it is about to make, or has found changed; 0 before the filter.
    at: i64,
    outcome: Outcome,
    may_listen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It has ended before its result.
    None,
    /// The filter could not be set: the program will get the same error.
    NotInstalled,
    Changed,
    Harmless,
}

/// Tries the filter that `install` sets for the calling thread alone. `None` if it can't be
/// set, or if there is no room for a task.
///
/// # Safety
/// All signals must be blocked. `install` must make system calls only, and must be fit to run
/// on a small stack.
pub unsafe fn try_filter(install: &dyn Fn() -> bool) -> Option<Filter> {
    let stack = sys::map_memory(STACK_BYTES, false)?;
    let start = stack.as_ptr().expose_provenance();
    let mut trial = Trial {
        install,
        answers: [0; CALLS.len()],
        at: 0,
        outcome: Outcome::None,
        may_listen: false,
    };
    const CLEAR_SIGHAND: u64 = 1 << 32;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned()) | CLEAR_SIGHAND,
        stack: start as u64,
        stack_size: STACK_BYTES as u64,
        ..CloneArguments::default()
    };
    let place: *mut Trial<'_> = &raw mut trial;
    // SAFETY: the stack is the task's alone, and the caller waits for its end (CLONE_VFORK), so
    // the trial outlives it.
    let pid = unsafe {
        arch::spawn_aside(
            (&raw const arguments).cast(),
            size_of::<CloneArguments>(),
            place.cast(),
            run,
        )
    };
    if let Ok(pid) = i32::try_from(pid)
        && pid > 0
    {
        let _ = sys::reap(pid);
    }
    // SAFETY: the task has ended, and nobody else knows its stack.
    unsafe { sys::unmap_memory(stack, STACK_BYTES) };
    // SAFETY: the task has ended; what it has written is here.
    let outcome = unsafe { ptr::read_volatile(&raw const trial.outcome) };
    // SAFETY: as above.
    let at = unsafe { ptr::read_volatile(&raw const trial.at) };
    // SAFETY: as above.
    let may_listen = unsafe { ptr::read_volatile(&raw const trial.may_listen) };
    if pid > 0 && outcome == Outcome::Harmless && !may_listen {
        listener::forbid();
    }
    match outcome {
        _ if pid <= 0 => None,
        Outcome::NotInstalled => None,
        Outcome::Harmless => Some(Filter::Harmless),
        Outcome::Changed | Outcome::None => Some(Filter::Forbids(i32::try_from(at).unwrap_or(0))),
    }
}

/// The task's life.
unsafe extern "C" fn run(trial: *mut c_void) -> ! {
    let trial = trial.cast::<Trial<'static>>();
    // SAFETY: the task's maker waits for its end, and no other code has it.
    let trial = unsafe { &mut *trial };
    sys::set_mask(SignalSet::ALL);
    for (call, answer) in CALLS.iter().zip(&mut trial.answers) {
        *answer = answer_of(call);
    }
    if !(trial.install)() {
        trial.outcome = Outcome::NotInstalled;
        sys::exit_group(0);
    }
    for (call, before) in CALLS.iter().zip(&trial.answers) {
        // SAFETY: a live field; written first, in case the call ends this task.
        unsafe { ptr::write_volatile(&raw mut trial.at, call.number) };
        if answer_of(call) != *before && call.is_needed {
            trial.outcome = Outcome::Changed;
            sys::exit_group(0);
        }
    }
    // SAFETY: a live field; written first, in case the next call ends this task.
    unsafe { ptr::write_volatile(&raw mut trial.outcome, Outcome::Harmless) };
    trial.may_listen = sys::try_to_listen() == Err(sys::Errno(libc::EFAULT));
    sys::exit_group(0)
}

fn answer_of(call: &Call) -> i64 {
    // SAFETY: see `CALLS`: they do nothing, but for a socket.
    let answer = unsafe { sys::harmless_call(call.number, call.arguments) };
    if call.number == libc::SYS_socket
        && let Ok(fd) = i32::try_from(answer)
        && fd >= 0
    {
        sys::close(fd);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_filter_all_is_as_before_and_nothing_is_left() {
        // In a thread with its own descriptors, since other tests open some too.
        let thread = std::thread::spawn(|| {
            // SAFETY: takes a flag; what is open stays open.
            let unshared = unsafe { libc::unshare(libc::CLONE_FILES) };
            assert_eq!(unshared, 0);
            let count = || std::fs::read_dir("/proc/thread-self/fd").map(Iterator::count);
            let before = count().expect("/proc is mounted");
            for _ in 0..3 {
                let open = sys::set_mask(SignalSet::ALL);
                // SAFETY: all is blocked, and the closure calls nothing.
                let tried = unsafe { try_filter(&|| true) };
                // SAFETY: as above.
                let refused = unsafe { try_filter(&|| false) };
                sys::set_mask(open);
                assert_eq!(tried, Some(Filter::Harmless));
                assert_eq!(refused, None);
            }
            assert_eq!(count().expect("/proc is mounted"), before);
        });
        thread.join().expect("nothing is left");
    }
}
