//! The exec functions, by which the program becomes another one.
//!
//! They pass on an environment that carries the agent ([`super::exec_environment`]): an exec
//! keeps the pid, so the session goes on, but the new program has neither agent nor handlers by
//! itself. Wrapper scripts (`exec real-program "$@"`) would lose both, and the next trigger
//! signal would kill the program. This is for the live process alone; a child that is about to
//! become another program gets libc's own function.
//!
//! Limits: a direct system call is not seen. The agent is gone then, and the trigger has its
//! default action. The supervisor looks before it sends one, and says so. The agent can't
//! follow into a program that is static or set-uid: there the trigger stays blocked, which is
//! harmless, and takes are refused.
//!
//! Context: AS-SAFE, since exec may be called from anywhere.

use core::ffi::{c_char, c_int, c_long};

use snapshot_core::sys;

use super::{closes, exec_environment::Carried};
use crate::errno;
use crate::real::{Real, real};
use crate::session::{self, Strings, environ};
use crate::signals::installed;

/// Calls `exec` with an environment that carries the agent, if this is the live process; else
/// with the given one.
fn carrying(environment: Strings, exec: impl Fn(Strings) -> c_int) -> c_int {
    // A filter that forbids snapshots binds the next program as well: the agent would only
    // disturb it.
    if !session::is_live() || session::forbids_snapshots() {
        return exec(environment);
    }
    // If the exec fails, the snapshots have let go too early: a peer then sees the end of its
    // connection as soon as the live process closes it.
    closes::before_exec();
    let carried = Carried::prepare(environment);
    // Without the agent the trigger would end the next program.
    let mask = sys::block(session::trigger_set());
    installed::before_exec();
    let answer = exec(
        carried
            .as_ref()
            .map_or(environment, |carried| carried.environment),
    );
    // The exec has failed. Errno says why, and the calls below may change it.
    let errno = errno::get();
    installed::reinstall();
    sys::set_mask(mask);
    if let Some(carried) = carried {
        carried.put_back();
    }
    errno::set(errno);
    answer
}

/// execve(2) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    static REAL: Real = Real::new(c"execve");
    carrying(
        environment,
        |environment| real!(REAL: fn(*const c_char, Strings, Strings), path, arguments, environment),
    )
}

/// execvpe(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    static REAL: Real = Real::new(c"execvpe");
    carrying(
        environment,
        |environment| real!(REAL: fn(*const c_char, Strings, Strings), file, arguments, environment),
    )
}

/// execv(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { execve(path, arguments, environ()) }
}

/// execvp(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { execvpe(file, arguments, environ()) }
}

/// fexecve(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    static REAL: Real = Real::new(c"fexecve");
    carrying(
        environment,
        |environment| real!(REAL: fn(c_int, Strings, Strings), fd, arguments, environment),
    )
}

/// execveat(2) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    directory: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_int {
    static REAL: Real = Real::new(c"execveat");
    carrying(environment, |environment| {
        real!(
            REAL: fn(c_int, *const c_char, Strings, Strings, c_int),
            directory,
            path,
            arguments,
            environment,
            flags
        )
    })
}

/// `syscall(SYS_execve, ...)` of the program.
///
/// # Safety
/// As the call.
pub(crate) unsafe extern "C" fn by_number(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_long {
    // SAFETY: the caller's promise.
    c_long::from(unsafe { execve(path, arguments, environment) })
}

/// `syscall(SYS_execveat, ...)` of the program.
///
/// # Safety
/// As the call.
pub(crate) unsafe extern "C" fn at_by_number(
    directory: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_long {
    // SAFETY: the caller's promise.
    c_long::from(unsafe { execveat(directory, path, arguments, environment, flags) })
}
