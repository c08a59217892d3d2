//! Waiting for the children that a revived process has adopted.
//!
//! They were the program's at the snapshot. To the kernel they are the supervisor's now. The
//! supervisor reaps them, and writes their ends, stops and continues into the table. A wait
//! answers from there, and sleeps there.
//!
//! Context: AS-SAFE.

use core::ffi::{c_char, c_int};
use core::ptr;

use snapshot_core::process::children::{Index, State, Table, Usage};
use snapshot_core::sys::{self, Errno};
use snapshot_core::threads::restart;

use super::{
    sigchld::ignores_children,
    table::{changes, table},
    target::Target,
};
use crate::signals::dispositions;

/// A change of an adopted child: it has ended, has stopped or goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) pid: c_int,
    pub(crate) user: u32,
    pub(crate) status: c_int,
    pub(crate) usage: Usage,
}

/// What a wait has found among the adopted children.
enum Found {
    /// No such child.
    NoChild,
    /// Some, and none has a change that the wait is for.
    Running(&'static Table, Index),
    Ended(&'static Table, Index, Change),
    /// One has stopped or gone on, and the wait is for that.
    StoppedOrContinued(&'static Table, Index, Change),
}

impl Found {
    /// Whether the wait is over.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Ended(..) | Self::StoppedOrContinued(..))
    }
}

/// What a wait may be for beside ended children.
const STOPPED_OR_CONTINUED: c_int = libc::WSTOPPED | libc::WCONTINUED;

/// Looks for adopted children in the table. It gets the table itself each time: a call may
/// begin before the first snapshot, and end in a revived process that has adopted the child.
fn find(target: Target, options: c_int) -> Found {
    let Some(table) = table() else {
        return Found::NoChild;
    };
    let named = target.named();
    let mut found = Found::NoChild;
    for index in table.adopted() {
        if !target.includes(table, index, named) {
            continue;
        }
        match table.state(index) {
            State::Alive => {
                let news = table
                    .news(index)
                    .filter(|&status| is_wanted(status, options));
                if let Some(status) = news {
                    let change = change(table, index, status, Usage::default());
                    return Found::StoppedOrContinued(table, index, change);
                }
                found = Found::Running(table, index);
            }
            // A wait for stopped children alone ignores ended ones.
            State::Ended(_) if options & libc::WEXITED == 0 => {}
            // No wait answers for the children of a program that ignores them.
            State::Ended(_) if ignores_children() => {
                table.release(index);
            }
            State::Ended(status) => {
                let change = change(table, index, status, table.usage(index));
                return Found::Ended(table, index, change);
            }
            State::Free | State::Lost => {}
        }
    }
    found
}

fn change(table: &Table, index: Index, status: c_int, usage: Usage) -> Change {
    let child = table.child(index);
    Change {
        pid: child.pid,
        user: child.user,
        status,
        usage,
    }
}

fn is_wanted(status: c_int, options: c_int) -> bool {
    if libc::WIFSTOPPED(status) {
        options & libc::WSTOPPED != 0
    } else {
        options & libc::WCONTINUED != 0
    }
}

/// Does what a wait with these options does; they include WEXITED if the wait is for ended
/// children. `real` asks the kernel, with these options added, and returns `None` if there are
/// children and none has changed. `own` turns an adopted child's change into an answer. The
/// answer is `None` if the caller does not block and nothing has changed.
pub(crate) fn wait<T>(
    target: Target,
    options: c_int,
    real: &mut dyn FnMut(c_int) -> Result<Option<T>, c_int>,
    own: impl Fn(&Change) -> T,
) -> Result<Option<T>, c_int> {
    let is_nonblocking = options & libc::WNOHANG != 0;
    let mut nap_ns = SHORTEST_NAP_NS;
    loop {
        // Before the table is read: a later change wakes a thread that sleeps below.
        let seen = changes();
        let (table, running) = match find(target, options) {
            Found::Ended(table, index, change) => {
                // Only one thread gets it.
                if options & libc::WNOWAIT != 0 || table.release(index) {
                    return Ok(Some(own(&change)));
                }
                continue;
            }
            Found::StoppedOrContinued(table, index, change) => {
                if options & libc::WNOWAIT != 0 || table.take_news(index, change.status) {
                    return Ok(Some(own(&change)));
                }
                continue;
            }
            Found::Running(table, index) => (table, index),
            Found::NoChild => match real(0) {
                // The thread has slept in the kernel since before a snapshot, and has woken in
                // a process without children: they are adopted now.
                Err(libc::ECHILD) if !matches!(find(target, options), Found::NoChild) => continue,
                // The signal is the SIGCHLD of the child that the wait is for. The kernel
                // would have looked at the child first.
                Err(libc::EINTR) if find(target, options).is_answer() => continue,
                answer => return answer,
            },
        };
        let slept = if target.is_one() {
            if !is_nonblocking && options & STOPPED_OR_CONTINUED != 0 {
                asleep(|| table.sleep_until_changed(seen, None))
            } else if !is_nonblocking {
                asleep(|| table.sleep_until_ended(running))
            } else if target.has_ended() {
                // For the moment until it is reaped, in a call that no signal interrupts.
                let _ = table.sleep_until_ended(running);
                Ok(())
            } else {
                return Ok(None);
            }
        } else {
            let has_real = match real(libc::WNOHANG) {
                Ok(Some(answer)) => return Ok(Some(answer)),
                Ok(None) => true,
                Err(libc::ECHILD) => false,
                Err(errno) => return Err(errno),
            };
            if is_nonblocking {
                return Ok(None);
            }
            // The end of a child of this process does not wake a thread that sleeps here, so it
            // looks again now and then. Without another thread no such child can appear.
            let limit_ns = (has_real || !is_single_threaded()).then_some(nap_ns);
            nap_ns = (nap_ns * 2).min(LONGEST_NAP_NS);
            asleep(|| table.sleep_until_changed(seen, limit_ns)).or_else(|errno| {
                // A sleep with a time limit is never restarted by the kernel.
                let is_genuine = limit_ns.is_none() || interrupts_calls();
                if is_genuine { Err(errno) } else { Ok(()) }
            })
        };
        if slept == Err(Errno(libc::EINTR)) && !find(target, options).is_answer() {
            return Err(libc::EINTR);
        }
    }
}

/// How long to sleep between looks at the kernel's children and at the adopted ones, if there
/// may be both. A signal in the microseconds of a look interrupts nothing, like one just before
/// a wait.
const SHORTEST_NAP_NS: u64 = 1_000_000;
const LONGEST_NAP_NS: u64 = 20_000_000;

fn interrupts_calls() -> bool {
    restart::has_interrupting_handler() || dispositions::interrupt_calls()
}

unsafe extern "C" {
    /// libc's own: 0 once there has been a second thread.
    #[link_name = "__libc_single_threaded"]
    static SINGLE_THREADED: c_char;

    fn pthread_setcanceltype(kind: c_int, old: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_ASYNCHRONOUS`
const AT_ONCE: c_int = 1;

fn is_single_threaded() -> bool {
    // SAFETY: a byte that libc changes when a thread is made, by the only thread there is.
    unsafe { (&raw const SINGLE_THREADED).read_volatile() != 0 }
}

/// Sleeps in a index where the thread can be cancelled, as in libc's own waits. After an error
/// other than EINTR the caller looks again.
fn asleep(sleep: impl FnOnce() -> sys::Result<()>) -> sys::Result<()> {
    let mut before = 0;
    // SAFETY: writes one number. If the thread is cancelled, it holds nothing here.
    unsafe { pthread_setcanceltype(AT_ONCE, &raw mut before) };
    let slept = sleep();
    // SAFETY: as above.
    unsafe { pthread_setcanceltype(before, ptr::null_mut()) };
    slept.or_else(|errno| match errno {
        Errno(libc::EINTR) => Err(errno),
        _ => Ok(()),
    })
}
