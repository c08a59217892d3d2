//! The functions by which a program waits for its children.
//!
//! They call libc's. If a snapshot has seen a child, they also record what the program reaps
//! ([`crate::children::reaping`]), and answer for children that a revived process has adopted
//! ([`crate::children::adopted`]).
//!
//! Limits: libc's `system` and `pclose` wait by a function inside libc, and a direct system
//! call bypasses these functions too.
//!
//! Context: AS-SAFE, as the functions of libc are.

use core::ffi::c_int;
use core::ptr;

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use snapshot_core::process::{children::Usage, pidfd};

use crate::children::{
    adopted,
    reaping::{self, ChildInfo, OPTIONS_OF_WAIT4, Reaped, ids_of_wait4},
    table::table,
    target::Target,
};
use crate::errno;

/// Whether the wait is only for children that send no SIGCHLD: no such child is adopted.
fn wants_clones(options: c_int) -> bool {
    options & (libc::__WALL | libc::__WCLONE) == libc::__WCLONE
}

/// The common part of the older functions.
///
/// # Safety
/// `status` and `usage` must be writable or null.
unsafe fn wait_by_four(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    let target = ids_of_wait4(pid)
        .and_then(|(kind, id)| target_of_waitid(kind, id))
        .filter(|_| options & !OPTIONS_OF_WAIT4 == 0 && !wants_clones(options));
    let mut real = |more| reaping::wait4(pid, options | more);
    let answer = match target {
        Some(target) => adopted::wait(target, options | libc::WEXITED, &mut real, Reaped::of),
        None => real(0),
    };
    match answer {
        Ok(Some(reaped)) => {
            if !status.is_null() {
                // SAFETY: the caller's promise.
                unsafe { status.write(reaped.status) };
            }
            if !usage.is_null() {
                // SAFETY: the caller's promise; both are of one size, plain numbers.
                unsafe { usage.cast::<Usage>().write_unaligned(reaped.usage) };
            }
            reaped.pid
        }
        Ok(None) => 0,
        Err(errno) => {
            errno::set(errno);
            -1
        }
    }
}

/// wait(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(-1, status, 0, ptr::null_mut()) }
}

/// waitpid(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(pid, status, options, ptr::null_mut()) }
}

/// wait3(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(-1, status, options, usage) }
}

/// wait4(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise.
    unsafe { wait_by_four(pid, status, options, usage) }
}

/// The words of a `siginfo_t` that the kernel writes, in its layout: signal, errno, code;
/// process, user, status.
const WRITTEN: [usize; 6] = [0, 1, 2, 4, 5, 6];

/// Writes what the kernel would; all zero if no child has changed.
///
/// # Safety
/// `info` must be writable or null.
unsafe fn write_info(info: *mut siginfo_t, child: Option<ChildInfo>) {
    if info.is_null() {
        return;
    }
    let values = child.map_or([0; 6], |child| {
        [
            libc::SIGCHLD,
            0,
            child.code,
            child.pid,
            child.user.cast_signed(),
            child.number,
        ]
    });
    for (index, value) in WRITTEN.into_iter().zip(values) {
        // SAFETY: within the structure, by the caller's promise.
        let word = unsafe { info.cast::<c_int>().add(index) };
        // SAFETY: as above.
        unsafe { word.write(value) };
    }
}

/// Which children a waitid is for. `None` if only the kernel knows.
fn target_of_waitid(kind: idtype_t, id: id_t) -> Option<Target> {
    let id = c_int::try_from(id).ok()?;
    match kind {
        libc::P_ALL => Some(Target::Any),
        libc::P_PID => Some(Target::Child(id)),
        libc::P_PGID if id == 0 => Some(Target::OwnGroup),
        libc::P_PGID => Some(Target::Group(id)),
        libc::P_PIDFD => Some(Target::Handle(id)),
        _ => None,
    }
}

/// A waitid must ask for at least one of these.
const CHANGES: c_int = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
const OPTIONS_OF_WAITID: c_int = OPTIONS_OF_WAIT4 | libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;

/// waitid(2)
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitid(
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    let is_usual =
        options & !OPTIONS_OF_WAITID == 0 && options & CHANGES != 0 && !wants_clones(options);
    let target = target_of_waitid(kind, id).filter(|_| is_usual);
    // A pidfd that is set to O_NONBLOCK asks for a wait that doesn't block.
    let by_descriptor = match target {
        Some(Target::Handle(descriptor))
            if table().is_some() && pidfd::is_nonblocking(descriptor) =>
        {
            libc::WNOHANG
        }
        _ => 0,
    };
    let mut real = |more| reaping::waitid(kind, id, options | more);
    let answer = match target {
        Some(target) => adopted::wait(target, options | by_descriptor, &mut real, ChildInfo::of),
        None => real(0),
    };
    match answer {
        Ok(None) if by_descriptor & !options != 0 => {
            errno::set(libc::EAGAIN);
            -1
        }
        Ok(child) => {
            // SAFETY: the caller's promise.
            unsafe { write_info(info, child) };
            0
        }
        Err(errno) => {
            errno::set(errno);
            -1
        }
    }
}
