//! Children of this process that have ended, stopped or gone on.
#![expect(unsafe_code, reason = "reaps processes whatever signal ended them")]

use nix::libc;
use snapshot_core::process::children::Usage;

/// A child with a change that `options` asks for, whatever signal it ends with, and that change
/// (CLD_*). The child stays to be reaped.
fn look(kind: libc::idtype_t, id: libc::id_t, options: libc::c_int) -> Option<(i32, libc::c_int)> {
    // SAFETY: all-zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = options | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: waitid writes one siginfo, a live local.
    let answer = unsafe { libc::waitid(kind, id, &raw mut info, options) };
    // SAFETY: all-zero if there is none, else a child's.
    let pid = unsafe { info.si_pid() };
    (answer == 0 && pid > 0).then_some((pid, info.si_code))
}

/// Whether a process is a child of ours, ended or not.
pub(crate) fn is_child(pid: i32) -> bool {
    let Ok(id) = libc::id_t::try_from(pid) else {
        return false;
    };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: without a siginfo waitid writes nothing; it reaps nothing either.
    unsafe { libc::waitid(libc::P_PID, id, std::ptr::null_mut(), options) == 0 }
}

/// Whether a child of ours has ended.
pub(crate) fn waits_to_be_reaped(pid: i32) -> bool {
    libc::id_t::try_from(pid).is_ok_and(|id| look(libc::P_PID, id, libc::WEXITED).is_some())
}

/// A child that has ended, stopped or gone on since it was reaped last, and its change (CLD_*).
/// It stays to be reaped.
pub(crate) fn next() -> Option<(i32, libc::c_int)> {
    let all = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
    look(libc::P_ALL, 0, all)
}

/// Reaps a child: its status and its resource usage, or `None` if another child has changed.
pub(crate) fn reap(pid: i32) -> Option<(libc::c_int, Usage)> {
    let mut status = 0;
    let mut usage = Usage::default();
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::__WALL;
    let room = (&raw mut usage).cast();
    // SAFETY: wait4 writes one status and one `rusage`, live locals of that size.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, flags, room) };
    (reaped == pid).then_some((status, usage))
}
