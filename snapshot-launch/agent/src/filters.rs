//! Filters of system calls that the program sets for itself (seccomp).
//!
//! Under one the agent may not be able to speak to the supervisor, to stop a thread, or to
//! do anything at all: in strict mode any call but four ends the process. So a filter is
//! tried before it is set ([`snapshot_core::process::filter_trial`]), and the supervisor told. Where
//! it forbids what a snapshot needs, the agent steps aside before: the program has its own
//! handlers in the kernel, as without the tool, and ignores a trigger that it has no handler
//! for.
//!
//! Filters are set by `prctl` or, by number, with libc's `syscall`. One that is set by a
//! direct system call is not seen here: the supervisor counts those.
//!
//! Context: AS-SAFE.
#![expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at the lower half of these words alone"
)]

use core::ffi::{c_int, c_long, c_ulong};
use core::sync::atomic::{AtomicBool, Ordering};

use snapshot_core::process::filter_trial::try_filter;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::terms::Filter;
use snapshot_core::wire::FromAgent;

use crate::{dispositions, errno, handlers, session};

/// Set while a filter forbids what a snapshot needs. In a copy it is what it was at the
/// snapshot, as the filters are.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Whether the agent must keep still.
pub(crate) fn forbid_snapshots() -> bool {
    FORBIDDEN.load(Ordering::Acquire)
}

/// What the program asks for.
#[derive(Clone, Copy)]
enum Wish {
    Strict,
    /// `may_ask`: it may have another process decide.
    Filter {
        may_ask: bool,
    },
}

impl Wish {
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

/// Makes the call, once it is known what it means. The answer is the kernel's.
fn set(wish: Wish, call: &dyn Fn() -> i64) -> i64 {
    // Another process's filters are its own, and after a forbidding one nothing is left to
    // be told.
    if !session::is_live() || forbid_snapshots() {
        return call();
    }
    let open = sys::block(SignalSet::ALL);
    let filter = match wish {
        Wish::Strict => Some(Filter::Strict),
        Wish::Filter { may_ask: true } => Some(Filter::Asks),
        // SAFETY: all is blocked, and the call is the kernel's alone.
        Wish::Filter { may_ask: false } => unsafe { try_filter(&|| call() >= 0) },
    };
    let Some(filter) = filter else {
        let answer = call();
        sys::set_mask(open);
        return answer;
    };
    let _ = handlers::ask(FromAgent::Filtered(filter));
    let forbids = filter != Filter::Harmless;
    if forbids {
        // In strict mode no call is left for it afterwards, not even this one.
        FORBIDDEN.store(true, Ordering::Release);
        dispositions::step_aside();
        sys::set_mask(open);
    }
    let answer = call();
    if answer < 0 {
        FORBIDDEN.store(false, Ordering::Release);
        if forbids {
            dispositions::after_failed_exec();
        }
        let open = sys::block(SignalSet::ALL);
        let _ = handlers::ask(FromAgent::Unfiltered(filter));
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
    match Wish::of_prctl(arguments) {
        Some(wish) => set(wish, &call),
        None => call(),
    }
}

fn by_seccomp(arguments: [usize; 3]) -> i64 {
    // SAFETY: the program's own arguments.
    let call = || unsafe { sys::seccomp_of_program(arguments) };
    match Wish::of_seccomp(arguments) {
        Some(wish) => set(wish, &call),
        None => call(),
    }
}

/// As libc's functions answer.
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

/// One of the two by number, from libc's `syscall`.
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
