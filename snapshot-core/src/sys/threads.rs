//! What the kernel keeps of a thread.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "thread system calls")]

use core::sync::atomic::AtomicU32;

use super::{Errno, Result, arg, check, plain, processes::prctl, small, with};
use crate::arch::syscall;

/// gettid(2)
pub fn gettid() -> i32 {
    plain(libc::SYS_gettid, [0; 6]).map_or(0, small)
}

/// A thread's name in the kernel: 15 bytes and a NUL.
pub type ThreadName = [u8; 16];

/// prctl(PR_GET_NAME)
pub(crate) fn thread_name() -> ThreadName {
    let mut name = [0; 16];
    // The option writes 16 bytes at most.
    let _ = prctl(libc::PR_GET_NAME, name.as_mut_ptr().expose_provenance());
    name
}

/// prctl(PR_SET_NAME). The last byte counts as a NUL.
pub(crate) fn set_thread_name(mut name: ThreadName) {
    name[15] = 0;
    // The option reads up to 16 bytes, and stops at a NUL, which is there.
    let _ = prctl(libc::PR_SET_NAME, name.as_ptr().expose_provenance());
}

/// prctl(PR_GET_TID_ADDRESS): where the kernel clears the tid when this thread ends.
///
/// # Errors
/// EINVAL on a kernel without checkpoint support.
pub(crate) fn tid_address() -> Result<usize> {
    let mut address = 0_usize;
    // The option writes one pointer there.
    prctl(
        libc::PR_GET_TID_ADDRESS,
        (&raw mut address).expose_provenance(),
    )?;
    Ok(address)
}

/// set_tid_address(2)
///
/// # Safety
/// `address` must be zero or stay writable for an `int` until this thread ends.
pub(crate) unsafe fn set_tid_address(address: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe { syscall(libc::SYS_set_tid_address, [address, 0, 0, 0, 0, 0]) };
}

/// get_robust_list(2) of the calling thread: head and length.
///
/// # Errors
/// ENOSYS if a filter hides it.
pub(crate) fn robust_list() -> Result<(usize, usize)> {
    let mut head = 0_usize;
    let mut length = 0_usize;
    // SAFETY: the call writes one pointer and one size, both locals.
    check(unsafe {
        syscall(
            libc::SYS_get_robust_list,
            [
                0,
                (&raw mut head).expose_provenance(),
                (&raw mut length).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok((head, length))
}

/// set_robust_list(2)
///
/// # Safety
/// `head` must be this thread's own list, as the thread library made it.
pub(crate) unsafe fn set_robust_list(head: usize, length: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe { syscall(libc::SYS_set_robust_list, [head, length, 0, 0, 0, 0]) };
}

/// futex(FUTEX_WAIT_PRIVATE): sleeps while the word is `expected`, at most this long. It may
/// return early, so the caller looks again.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, at_most_ns: Option<u64>) {
    let time = at_most_ns.map(|ns| [ns / 1_000_000_000, ns % 1_000_000_000]);
    let time = time
        .as_ref()
        .map_or(0, |time| time.as_ptr().expose_provenance());
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word outlives the call; the time is null or a timespec of two longs.
    let _ = unsafe {
        with(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                arg(operation),
                expected as usize,
                time,
            ],
        )
    };
}

/// futex(FUTEX_WAKE_PRIVATE)
pub(crate) fn futex_wake(word: &AtomicU32, count: i32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is alive; the call reads nothing else.
    let _ = unsafe {
        with(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                arg(operation),
                arg(count),
            ],
        )
    };
}

/// futex(FUTEX_WAIT): as [`futex_wait`], on a word in memory that other processes share.
///
/// # Errors
/// EAGAIN if the word differs; ETIMEDOUT; EINTR, which without a time limit comes only after a
/// handler without SA_RESTART.
pub(crate) fn futex_wait_shared(
    word: &AtomicU32,
    expected: u32,
    at_most_ns: Option<u64>,
) -> Result<()> {
    let time = at_most_ns.map(|ns| [ns / 1_000_000_000, ns % 1_000_000_000]);
    let time = time
        .as_ref()
        .map_or(0, |time| time.as_ptr().expose_provenance());
    // SAFETY: the word outlives the call; the time is null or a timespec of two longs.
    unsafe {
        with(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                arg(libc::FUTEX_WAIT),
                expected as usize,
                time,
            ],
        )
    }
    .map(drop)
}

/// futex(FUTEX_WAKE): wakes all that sleep on it, in every process.
pub(crate) fn futex_wake_shared(word: &AtomicU32) {
    // SAFETY: the word is alive; the call reads nothing else.
    let _ = unsafe {
        with(
            libc::SYS_futex,
            [
                word.as_ptr().expose_provenance(),
                arg(libc::FUTEX_WAKE),
                arg(i32::MAX),
            ],
        )
    };
}

/// `struct sched_attr` of 56 bytes: policy, nice, priority, deadlines, utilisation.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scheduling {
    pub(crate) size: u32,
    pub(crate) policy: u32,
    pub(crate) flags: u64,
    pub(crate) nice: i32,
    pub(crate) priority: u32,
    pub(crate) runtime: u64,
    pub(crate) deadline: u64,
    pub(crate) period: u64,
    pub(crate) utilisation: [u32; 2],
}

/// sched_getattr(2) of the calling thread.
///
/// # Errors
/// ENOSYS if a filter hides it.
pub(crate) fn scheduling() -> Result<Scheduling> {
    let mut attributes = Scheduling::default();
    // SAFETY: writes at most the size given, which is the structure's.
    unsafe {
        with(
            libc::SYS_sched_getattr,
            [
                0,
                (&raw mut attributes).expose_provenance(),
                size_of::<Scheduling>(),
                0,
            ],
        )
    }?;
    Ok(attributes)
}

/// sched_setattr(2) of the calling thread.
///
/// # Errors
/// EPERM if the thread may no longer have these.
pub(crate) fn set_scheduling(attributes: &Scheduling) -> Result<()> {
    let pointer = core::ptr::from_ref(attributes).expose_provenance();
    // SAFETY: reads one structure, whose size is in it.
    unsafe { with(libc::SYS_sched_setattr, [0, pointer, 0]) }.map(drop)
}

/// The processors that a thread may run on, a bit each, up to 1,024.
pub(crate) type Affinity = [u64; 16];

/// sched_getaffinity(2) of the calling thread.
///
/// # Errors
/// EINVAL on a machine with more processors than that.
pub(crate) fn affinity() -> Result<Affinity> {
    let mut set = [0; 16];
    // SAFETY: writes at most the size given, which is the set's.
    unsafe {
        with(
            libc::SYS_sched_getaffinity,
            [
                0,
                size_of::<Affinity>(),
                set.as_mut_ptr().expose_provenance(),
            ],
        )
    }?;
    Ok(set)
}

/// sched_setaffinity(2) of the calling thread.
///
/// # Errors
/// EINVAL if none of these processors exists any more.
pub(crate) fn set_affinity(set: &Affinity) -> Result<()> {
    // SAFETY: reads the size given, which is the set's.
    unsafe {
        with(
            libc::SYS_sched_setaffinity,
            [0, size_of::<Affinity>(), set.as_ptr().expose_provenance()],
        )
    }
    .map(drop)
}

/// prctl(PR_GET_TIMERSLACK) of the calling thread, in nanoseconds.
pub(crate) fn timer_slack() -> usize {
    prctl(libc::PR_GET_TIMERSLACK, 0).unwrap_or(0)
}

/// prctl(PR_SET_TIMERSLACK); 0 means the process's default.
pub(crate) fn set_timer_slack(nanoseconds: usize) {
    let _ = prctl(libc::PR_SET_TIMERSLACK, nanoseconds);
}

const IOPRIO_WHO_PROCESS: usize = 1;

/// ioprio_get(2) of the calling thread; 0 if none is set.
pub(crate) fn io_priority() -> usize {
    plain(libc::SYS_ioprio_get, [IOPRIO_WHO_PROCESS, 0]).unwrap_or(0)
}

/// ioprio_set(2) of the calling thread.
///
/// # Errors
/// EPERM for a class that the thread may no longer have.
pub(crate) fn set_io_priority(priority: usize) -> Result<()> {
    plain(libc::SYS_ioprio_set, [IOPRIO_WHO_PROCESS, 0, priority]).map(drop)
}

/// The signature that every rseq registration uses on this processor.
const RSEQ_SIGNATURE: usize = 0x5305_3053;

/// rseq(2): registers the calling thread's area.
///
/// # Errors
/// EBUSY if this very area is registered already; EINVAL if another one is, or this one with
/// another length.
///
/// # Safety
/// `area` must be this thread's own, have that length, and outlive the thread.
pub(crate) unsafe fn register_rseq(area: usize, length: usize) -> Result<()> {
    // SAFETY: the caller's promise is the call's only condition.
    unsafe { with(libc::SYS_rseq, [area, length, 0, RSEQ_SIGNATURE]) }.map(drop)
}

/// rseq(2): ends the calling thread's registration.
///
/// # Errors
/// EINVAL if there is none.
pub(crate) fn unregister_rseq(area: usize, length: usize) -> Result<()> {
    const UNREGISTER: usize = 1;
    // SAFETY: the kernel only writes that there is no processor.
    unsafe { with(libc::SYS_rseq, [area, length, UNREGISTER, RSEQ_SIGNATURE]) }.map(drop)
}

/// getrusage(2): how often the calling thread has left its processor. If two readings are the
/// same, the thread has not left it in between.
pub(crate) fn context_switches() -> i64 {
    let [.., slept, interrupted] = super::resource_usage(libc::RUSAGE_THREAD);
    slept + interrupted
}

/// getrusage(2): how often the calling thread has gone to sleep.
pub(crate) fn times_asleep() -> u64 {
    let [.., slept, _] = super::resource_usage(libc::RUSAGE_THREAD);
    slept.unsigned_abs()
}

/// sched_getcpu: the processor that this thread is on now.
pub(crate) fn processor() -> Option<u32> {
    let mut cpu = 0_u32;
    // SAFETY: writes one number; the other pointers may be null.
    unsafe { with(libc::SYS_getcpu, [(&raw mut cpu).expose_provenance(), 0, 0]) }.ok()?;
    Some(cpu)
}

/// tgkill(2) with signal 0: whether this process has a thread with that id.
pub fn has_thread(tid: i32) -> bool {
    plain(libc::SYS_tgkill, [arg(super::getpid()), arg(tid), 0]) != Err(Errno(libc::ESRCH))
}

/// exit(2): ends the calling thread alone.
pub(crate) fn exit_thread() -> ! {
    loop {
        let _ = plain(libc::SYS_exit, [0]);
    }
}

/// sched_yield(2)
pub fn yield_now() {
    let _ = plain(libc::SYS_sched_yield, []);
}

/// sched_setaffinity(2) of another thread.
///
/// # Errors
/// ESRCH if it has ended; EINVAL if none of these processors exists.
///
/// # Safety
/// `set` must be readable for `size` bytes.
pub unsafe fn set_affinity_of(tid: i32, size: usize, set: *const u8) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        with(
            libc::SYS_sched_setaffinity,
            [arg(tid), size, set.expose_provenance()],
        )
    }
    .map(drop)
}

/// sched_getaffinity(2) of another thread; clears what the kernel does not write.
///
/// # Errors
/// ESRCH if it has ended; EINVAL if the set is too small.
///
/// # Safety
/// `set` must be writable for `size` bytes.
pub unsafe fn affinity_of(tid: i32, size: usize, set: *mut u8) -> Result<()> {
    // SAFETY: the caller's promise.
    let written = unsafe {
        with(
            libc::SYS_sched_getaffinity,
            [arg(tid), size, set.expose_provenance()],
        )
    }?;
    // SAFETY: the kernel writes no more than the size.
    let rest = unsafe { set.add(written) };
    // SAFETY: as above: within the caller's set.
    unsafe { rest.write_bytes(0, size - written) };
    Ok(())
}

/// sched_setscheduler(2) of another thread.
///
/// # Errors
/// ESRCH, EPERM, EINVAL.
///
/// # Safety
/// `parameter` must be readable as a `struct sched_param`.
pub unsafe fn set_policy_of(tid: i32, policy: i32, parameter: *const u8) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        with(
            libc::SYS_sched_setscheduler,
            [arg(tid), arg(policy), parameter.expose_provenance()],
        )
    }
    .map(drop)
}

/// sched_setparam(2) of another thread.
///
/// # Errors
/// ESRCH, EPERM, EINVAL.
pub fn set_priority_of(tid: i32, priority: i32) -> Result<()> {
    // SAFETY: reads one `struct sched_param`, an int.
    unsafe {
        with(
            libc::SYS_sched_setparam,
            [arg(tid), (&raw const priority).expose_provenance()],
        )
    }
    .map(drop)
}

/// sched_getscheduler(2) and sched_getparam(2) of another thread.
///
/// # Errors
/// ESRCH if it has ended.
pub fn policy_of(tid: i32) -> Result<(i32, i32)> {
    let policy = plain(libc::SYS_sched_getscheduler, [arg(tid)]).map(small)?;
    let mut priority = 0_i32;
    // SAFETY: writes one `struct sched_param`, an int.
    unsafe {
        with(
            libc::SYS_sched_getparam,
            [arg(tid), (&raw mut priority).expose_provenance()],
        )
    }?;
    Ok((policy, priority))
}
