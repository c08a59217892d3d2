//! Processes: ids, forks, waits, ends.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "process system calls")]

use core::ffi::c_int;
use core::mem::{MaybeUninit, size_of};

use super::{Errno, Result, arg, check, plain, small, with};
use crate::arch::{SYS_CLONE3, syscall};

/// getpid(2)
pub fn getpid() -> i32 {
    plain(libc::SYS_getpid, [0; 6]).map_or(0, small)
}

/// getppid(2)
pub fn getppid() -> i32 {
    plain(libc::SYS_getppid, [0; 6]).map_or(0, small)
}

/// geteuid(2) and getegid(2): the effective user and group.
pub(crate) fn effective_ids() -> (u32, u32) {
    let id = |number| u32::try_from(plain(number, [0; 6]).unwrap_or(0)).unwrap_or(u32::MAX);
    (id(libc::SYS_geteuid), id(libc::SYS_getegid))
}

/// exit_group(2)
pub fn exit_group(code: i32) -> ! {
    loop {
        let _ = plain(libc::SYS_exit_group, [arg(code), 0, 0, 0, 0, 0]);
    }
}

/// `struct clone_args` of the second version, 80 bytes, since Linux 5.5.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CloneArguments {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    /// The address of the wanted ids, the innermost namespace's first.
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
}

impl CloneArguments {
    /// Asks for these ids, the innermost namespace's first; they must stay at their address.
    /// Without any the kernel chooses.
    pub(crate) fn with_ids(self, ids: &[i32]) -> Self {
        Self {
            // The kernel wants both or neither.
            set_tid: match ids {
                [] => 0,
                ids => ids.as_ptr().expose_provenance() as u64,
            },
            set_tid_size: ids.len() as u64,
            ..self
        }
    }
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller, with the copy's pid.
    Original(i32),
    /// The copy.
    Copy,
}

/// clone3(2) as a fork: a new process on a copy of all memory, this stack included.
/// Unlike libc's `fork` it takes no locks and runs no handlers.
///
/// # Safety
/// The copy has the calling thread alone: it must not wait for another thread, and must not
/// return into code that relies on others.
///
/// # Errors
/// EAGAIN, ENOMEM and kin; ENOSYS if a filter hides the call.
#[inline(always)]
pub(crate) unsafe fn fork(flags: i32, exit_signal: i32) -> Result<Side> {
    let arguments = CloneArguments {
        flags: u64::from(flags.unsigned_abs()),
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        ..CloneArguments::default()
    };
    // SAFETY: passed on to the caller.
    unsafe { fork_by(&arguments) }
}

/// clone3(2) as a fork, of a child with these ids, the innermost namespace's first. Without any
/// the kernel chooses.
///
/// # Safety
/// As above.
///
/// # Errors
/// As above; EEXIST if a number is taken, EPERM if it may not be chosen.
pub unsafe fn fork_with_ids(ids: &[i32]) -> Result<Side> {
    let arguments = CloneArguments {
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..CloneArguments::default()
    }
    .with_ids(ids);
    // SAFETY: passed on to the caller.
    unsafe { fork_by(&arguments) }
}

/// # Safety
/// As above, and `arguments` must name no stack and no memory of another's.
#[inline(always)]
unsafe fn fork_by(arguments: &CloneArguments) -> Result<Side> {
    // SAFETY: the arguments have the given size and name no stack, so both sides go on here,
    // each in its own memory.
    let pid = check(unsafe {
        syscall(
            SYS_CLONE3,
            [
                core::ptr::from_ref(arguments).expose_provenance(),
                size_of::<CloneArguments>(),
                0,
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(if pid == 0 {
        Side::Copy
    } else {
        Side::Original(small(pid))
    })
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildState {
    /// CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED.
    pub(crate) code: i32,
    /// The exit code or the signal.
    pub(crate) status: i32,
}

/// waitid(2) for one child, whatever signal it ends with.
///
/// # Errors
/// EINTR; ECHILD if it is no child.
pub(crate) fn wait_for_child(pid: i32, options: i32) -> Result<ChildState> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: waitid writes one siginfo, which the slot has room for.
    check(unsafe {
        syscall(
            libc::SYS_waitid,
            [
                libc::P_PID as usize,
                arg(pid),
                info.as_mut_ptr().expose_provenance(),
                arg(options | libc::__WALL),
                0,
                0,
            ],
        )
    })?;
    // SAFETY: all-zero is a valid siginfo, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills in the SIGCHLD member of the union.
    let status = unsafe { info.si_status() };
    Ok(ChildState {
        code: info.si_code,
        status,
    })
}

/// waitid(2) on any ended child, without reaping it. Children that end without a SIGCHLD don't
/// count.
pub(crate) fn has_ended_child() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes one siginfo, which the slot has room for.
    let answer = check(unsafe {
        syscall(
            libc::SYS_waitid,
            [
                libc::P_ALL as usize,
                0,
                info.as_mut_ptr().expose_provenance(),
                arg(options),
                0,
                0,
            ],
        )
    });
    // SAFETY: all-zero is a valid siginfo, and the kernel may have filled it in.
    answer.is_ok() && unsafe { info.assume_init() }.si_signo == libc::SIGCHLD
}

pub(super) fn prctl(option: c_int, argument: usize) -> Result<usize> {
    // SAFETY: every use below passes what the option expects; see there.
    check(unsafe { syscall(libc::SYS_prctl, [arg(option), argument, 0, 0, 0, 0]) })
}

/// prctl(PR_SET_PDEATHSIG): the signal this process gets when its parent dies; 0 for none.
pub fn set_parent_death_signal(signal: i32) {
    let _ = prctl(libc::PR_SET_PDEATHSIG, arg(signal));
}

/// prctl(PR_GET_PDEATHSIG)
pub(crate) fn parent_death_signal() -> i32 {
    let mut signal = 0_i32;
    // The option writes one int there.
    let _ = prctl(
        libc::PR_GET_PDEATHSIG,
        (&raw mut signal).expose_provenance(),
    );
    signal
}

/// prctl(PR_GET_THP_DISABLE): whether the kernel may make no huge pages for this process.
pub(crate) fn has_no_huge_pages() -> bool {
    prctl(libc::PR_GET_THP_DISABLE, 0) == Ok(1)
}

/// prctl(PR_SET_THP_DISABLE)
///
/// # Errors
/// If the kernel doesn't know it.
pub(crate) fn forbid_huge_pages(forbidden: bool) -> Result<()> {
    prctl(libc::PR_SET_THP_DISABLE, usize::from(forbidden)).map(drop)
}

/// prctl(PR_GET_SECCOMP): whether filters look at this process's system calls.
pub(crate) fn is_filtered() -> bool {
    prctl(libc::PR_GET_SECCOMP, 0) != Ok(0)
}

const PR_SET_SYSCALL_USER_DISPATCH: c_int = 59;

/// prctl(PR_SET_SYSCALL_USER_DISPATCH), Linux 5.11: from now on the calling thread gets a SIGSYS instead of
/// each system call, while the byte at `selector` is 1, but for the code of `length` bytes at `start`.
///
/// # Errors
/// EINVAL before Linux 5.11.
pub(crate) fn dispatch_calls(start: usize, length: usize, selector: *mut u8) -> Result<()> {
    const ON: usize = 1;
    let place = selector.expose_provenance();
    let arguments = [arg(PR_SET_SYSCALL_USER_DISPATCH), ON, start, length, place];
    // SAFETY: the kernel reads a byte there, as long as the dispatch is on.
    unsafe { super::with(libc::SYS_prctl, arguments) }.map(drop)
}

/// The same: no longer.
pub(crate) fn dispatch_no_calls() {
    let _ = prctl(PR_SET_SYSCALL_USER_DISPATCH, 0);
}

/// pidfd_open(2)
///
/// # Errors
/// ESRCH, EMFILE.
pub(crate) fn pidfd_open(pid: i32) -> Result<i32> {
    plain(libc::SYS_pidfd_open, [arg(pid), 0, 0, 0, 0, 0]).map(small)
}

/// getpgid(2)
///
/// # Errors
/// ESRCH if it has been reaped.
pub fn group_of(pid: i32) -> Result<i32> {
    plain(libc::SYS_getpgid, [arg(pid), 0, 0, 0, 0, 0]).map(small)
}

/// prctl(PR_GET_CHILD_SUBREAPER)
pub(crate) fn is_subreaper() -> bool {
    let mut answer = 0_i32;
    // The option writes one int there.
    let _ = prctl(
        libc::PR_GET_CHILD_SUBREAPER,
        (&raw mut answer).expose_provenance(),
    );
    answer != 0
}

/// prctl(PR_SET_CHILD_SUBREAPER)
pub(crate) fn set_subreaper(on: bool) {
    let _ = prctl(libc::PR_SET_CHILD_SUBREAPER, usize::from(on));
}

/// getresuid(2) and getresgid(2): real, effective and saved, of user and group.
pub(crate) fn credentials() -> [u32; 6] {
    let mut ids = [0_u32; 6];
    let at = ids.as_mut_ptr().expose_provenance();
    for (call, first) in [(libc::SYS_getresuid, 0), (libc::SYS_getresgid, 3)] {
        let place = at + first * size_of::<u32>();
        // SAFETY: writes three ids, each of them a live part of `ids`.
        let _ = unsafe { with(call, [place, place + 4, place + 8]) };
    }
    ids
}

/// getpgid(2) and getsid(2) of the calling process; 0 if its leader is outside the
/// namespace.
pub(crate) fn group_and_session() -> (i32, i32) {
    let of = |call| plain(call, [0]).map_or(0, small);
    (of(libc::SYS_getpgid), of(libc::SYS_getsid))
}

/// kill(2) with signal 0: whether a process group has this number.
pub(crate) fn has_group(group: i32) -> bool {
    plain(libc::SYS_kill, [arg(-group), 0]) != Err(Errno(libc::ESRCH))
}

/// setpgid(2): a process group of its own.
pub(crate) fn begin_group() {
    let _ = plain(libc::SYS_setpgid, [0, 0]);
}

/// setpgid(2): joins the process group with this number, in the same session.
///
/// # Errors
/// EPERM if there is none.
pub(crate) fn join_group(group: i32) -> Result<()> {
    plain(libc::SYS_setpgid, [0, arg(group)]).map(|_| ())
}

/// setsid(2): a session of its own.
pub(crate) fn begin_session() {
    let _ = plain(libc::SYS_setsid, []);
}

/// waitid(2) on any child, without reaping it: whether there is a child.
pub(crate) fn has_children() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: waitid writes one siginfo, which the slot has room for.
    let answer = unsafe {
        with(
            libc::SYS_waitid,
            [
                libc::P_ALL as usize,
                0,
                info.as_mut_ptr().expose_provenance(),
                arg(options),
                0,
            ],
        )
    };
    answer != Err(Errno(libc::ECHILD))
}
