//! The functions by which a program sets filters of system calls for itself (seccomp): `prctl`
//! and, by number, `syscall`.
//!
//! Under a filter the agent may be unable to speak to the supervisor, to stop a thread, or to
//! do anything: in strict mode any call but four ends the process. So the agent tries a filter
//! before it is set ([`snapshot_core::process::filter_trial`]), and reports it to the
//! supervisor. If the filter forbids what a snapshot needs, the agent first withdraws its
//! handlers: the kernel has the program's own, as without the tool, and ignores a trigger that
//! the program has no handler for.
//!
//! Limits: a filter that is set by a direct system call is not seen here. The supervisor counts
//! those.
//!
//! Context: AS-SAFE.
#![expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at the lower half of these words alone"
)]

use core::ffi::{c_int, c_long, c_ulong};

use snapshot_core::process::filter_trial::try_filter;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::terms::Filter;
use snapshot_core::wire::FromCaller;

use crate::signals::installed;
use crate::{errno, session};

/// The mode that the program sets.
#[derive(Clone, Copy)]
enum Mode {
    Strict,
    /// `may_ask`: the filter may let another process decide.
    Filter {
        may_ask: bool,
    },
}

impl Mode {
    fn of_prctl(arguments: [usize; 5]) -> Option<Self> {
        if arguments[0] != libc::PR_SET_SECCOMP as usize {
            return None;
        }
        match arguments[1] as c_ulong {
            STRICT_MODE => Some(Self::Strict),
            FILTER_MODE => Some(Self::Filter { may_ask: false }),
            _ => None,
        }
    }

    fn of_seccomp(arguments: [usize; 3]) -> Option<Self> {
        match arguments[0] as u32 {
            libc::SECCOMP_SET_MODE_STRICT => Some(Self::Strict),
            libc::SECCOMP_SET_MODE_FILTER => Some(Self::Filter {
                may_ask: arguments[1] & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as usize != 0,
            }),
            _ => None,
        }
    }
}

const STRICT_MODE: c_ulong = libc::SECCOMP_MODE_STRICT as c_ulong;
const FILTER_MODE: c_ulong = libc::SECCOMP_MODE_FILTER as c_ulong;

/// Makes the call, once its consequences are known. Returns the kernel's answer.
fn set(mode: Mode, call: &dyn Fn() -> i64) -> i64 {
    // A child's filters are its own, and after one that forbids snapshots there is nothing more
    // to report.
    if !session::is_live() || session::forbids_snapshots() {
        return call();
    }
    let open = sys::block(SignalSet::ALL);
    let filter = match mode {
        Mode::Strict => Some(Filter::Strict),
        Mode::Filter { may_ask: true } => Some(Filter::Asks),
        // SAFETY: all is blocked, and the call is the kernel's alone.
        Mode::Filter { may_ask: false } => unsafe { try_filter(&|| call() >= 0) },
    };
    let Some(filter) = filter else {
        let answer = call();
        sys::set_mask(open);
        return answer;
    };
    let _ = session::ask(FromCaller::Filtered(filter));
    let forbids = filter != Filter::Harmless;
    if forbids {
        // Before the filter: in strict mode it would forbid even the calls that this makes.
        session::forbid_snapshots(true);
        installed::withdraw();
        sys::set_mask(open);
    }
    let answer = call();
    if answer < 0 {
        session::forbid_snapshots(false);
        if forbids {
            installed::reinstall();
        }
        let open = sys::block(SignalSet::ALL);
        let _ = session::ask(FromCaller::Unfiltered(filter));
        sys::set_mask(open);
    }
    if !forbids {
        sys::set_mask(open);
    }
    answer
}

fn by_prctl(arguments: [usize; 5]) -> i64 {
    // SAFETY: the program's own arguments.
    let call = || unsafe { sys::prctl_of_program(arguments) };
    match Mode::of_prctl(arguments) {
        Some(mode) => set(mode, &call),
        None => call(),
    }
}

fn by_seccomp(arguments: [usize; 3]) -> i64 {
    // SAFETY: the program's own arguments.
    let call = || unsafe { sys::seccomp_of_program(arguments) };
    match Mode::of_seccomp(arguments) {
        Some(mode) => set(mode, &call),
        None => call(),
    }
}

/// The kernel's answer in the form of libc's functions.
fn answer(answer: i64) -> c_long {
    if answer < 0 {
        errno::set((-answer) as c_int);
        return -1;
    }
    answer
}

/// prctl(2) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prctl(
    option: c_int,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
) -> c_int {
    answer(by_prctl([option as usize, second, third, fourth, fifth])) as c_int
}

/// One of the two by number, from `syscall`.
pub(crate) extern "C" fn by_number(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
) -> c_long {
    answer(if number == libc::SYS_seccomp {
        by_seccomp([first, second, third])
    } else {
        by_prctl([first, second, third, fourth, fifth])
    })
}
