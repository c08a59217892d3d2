//! The children that a revived process has adopted: which of them a wait is about, how one
//! has ended, and sleeping until one has.
//!
//! They were the program's at the snapshot. In the kernel's eyes they are the supervisor's
//! now, which reaps them and writes into the family table how they have ended.
//!
//! That one has stopped or goes on is in the table as well, since the supervisor sees it.
//!
//! Context: AS-SAFE.

use core::ffi::{c_char, c_int};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use snapshot_core::process::{
    children::{Place, State, Table, Usage},
    pidfd,
};
use snapshot_core::sys::{self, Errno, SignalInfo};
use snapshot_core::threads::restart;

use crate::{dispositions, session};

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// Maps the table that a descriptor stands for, and closes the descriptor.
pub(crate) fn begin(descriptor: c_int) {
    // SAFETY: the supervisor has made it for this, and sealed its length.
    if let Ok(table) = unsafe { Table::map(descriptor) } {
        TABLE.store(ptr::from_ref(table).cast_mut(), Ordering::Release);
    }
    sys::close(descriptor);
}

fn changes() -> u32 {
    // SAFETY: as below.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() };
    table.map_or(0, Table::changes)
}

/// The table, where this is the live process and there is anybody in it.
pub(crate) fn table() -> Option<&'static Table> {
    // SAFETY: null, or mapped for the rest of this process's life.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
    (!table.is_empty() && session::is_live()).then_some(table)
}

/// Queues the SIGCHLD of every child that has ended in the branch that is dead now: it
/// came there, and that has not happened. To be called in a copy that comes back to life,
/// before any of its threads runs, so that a call is interrupted by it as it would be.
pub(crate) fn tell_of_ended() {
    let Some(table) = table() else {
        return;
    };
    note_disposition();
    for place in table.adopted() {
        if let Some(status) = table.news(place)
            && !table.hides_stops()
            && table.are_news_to_be_told(place)
        {
            let child = table.child(place);
            let info = SignalInfo::of_child(child.pid, child.user, status, true);
            let _ = sys::queue_to_self(&info);
        }
        if let State::Ended(status) = table.state(place)
            && table.is_to_be_told(place)
        {
            let child = table.child(place);
            // This process may say that it comes from the kernel, as it does.
            let info = SignalInfo::of_child(child.pid, child.user, status, true);
            let _ = sys::queue_to_self(&info);
        }
    }
}

/// The program has set what is to happen on SIGCHLD: whether it wants to hear of those that
/// stop, the supervisor can't know otherwise.
pub(crate) fn note_disposition() {
    if let Some(table) = table()
        // SAFETY: asks only.
        && let Ok(action) = unsafe { sys::sigaction(libc::SIGCHLD, None) }
    {
        table.hide_stops(action.flags & u64::from(libc::SA_NOCLDSTOP.unsigned_abs()) != 0);
    }
}

/// What a wait is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Any,
    Child(c_int),
    Group(c_int),
    OwnGroup,
    /// The process that a pidfd stands for.
    Handle(c_int),
}

impl Target {
    /// Whether it is for one child, so that others don't matter.
    fn is_one(self) -> bool {
        matches!(self, Self::Child(_) | Self::Handle(_))
    }

    /// Whether that one has ended, though the supervisor may not have reaped it yet. A
    /// program may know it from a pidfd before us, and count on it.
    fn has_ended(self) -> bool {
        match self {
            Self::Child(pid) => pidfd::has_process_ended(pid),
            Self::Handle(descriptor) => pidfd::has_ended(descriptor),
            Self::Any | Self::Group(_) | Self::OwnGroup => false,
        }
    }

    /// Whether an adopted child is meant. `handle` is what the pidfd says.
    fn means(self, table: &Table, place: Place, handle: Option<pidfd::Named>) -> bool {
        let child = table.child(place);
        match self {
            Self::Any => true,
            Self::Child(pid) => child.pid == pid,
            // It may have left the group that it was in at the snapshot.
            Self::Group(group) => sys::group_of(child.pid).unwrap_or(child.group) == group,
            Self::OwnGroup => {
                sys::group_of(child.pid).ok().or(Some(child.group)) == sys::group_of(0).ok()
            }
            Self::Handle(_) => handle.is_some_and(|handle| {
                (child.handle != 0 && child.handle == handle.inode) || handle.pid == Some(child.pid)
            }),
        }
    }
}

/// How an adopted child has ended, or that it has stopped or goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) pid: c_int,
    pub(crate) user: u32,
    pub(crate) status: c_int,
    pub(crate) usage: Usage,
}

/// What there is of those that a wait is for.
enum Found {
    Nobody,
    /// Some, none of which has ended.
    Running(&'static Table, Place),
    Ended(&'static Table, Place, End),
    /// One has stopped, or goes on, and that is waited for.
    News(&'static Table, Place, End),
}

impl Found {
    /// Whether the wait is over.
    fn is_answer(&self) -> bool {
        matches!(self, Self::Ended(..) | Self::News(..))
    }
}

/// What a wait is for beside those that have ended.
const NEWS: c_int = libc::WSTOPPED | libc::WCONTINUED;

/// Looks anew whether there is a table each time: a call may begin before the first
/// snapshot, and end in a life that has adopted what it waits for.
fn find(target: Target, options: c_int) -> Found {
    let Some(table) = table() else {
        return Found::Nobody;
    };
    let handle = match target {
        Target::Handle(descriptor) => pidfd::named(descriptor),
        _ => None,
    };
    let mut found = Found::Nobody;
    for place in table.adopted() {
        if !target.means(table, place, handle) {
            continue;
        }
        match table.state(place) {
            State::Alive => {
                let news = table
                    .news(place)
                    .filter(|&status| is_wanted(status, options));
                if let Some(status) = news {
                    let child = table.child(place);
                    let end = End {
                        pid: child.pid,
                        user: child.user,
                        status,
                        usage: Usage::default(),
                    };
                    return Found::News(table, place, end);
                }
                found = Found::Running(table, place);
            }
            // Who waits for those that stop alone has none in one that has ended.
            State::Ended(_) if options & libc::WEXITED == 0 => {}
            // Nobody waits for the children of a program that ignores them.
            State::Ended(_) if ignores_children() => {
                table.release(place);
            }
            State::Ended(status) => {
                let child = table.child(place);
                let end = End {
                    pid: child.pid,
                    user: child.user,
                    status,
                    usage: table.usage(place),
                };
                return Found::Ended(table, place, end);
            }
            State::Free | State::Lost => {}
        }
    }
    found
}

fn is_wanted(status: c_int, options: c_int) -> bool {
    if libc::WIFSTOPPED(status) {
        options & libc::WSTOPPED != 0
    } else {
        options & libc::WCONTINUED != 0
    }
}

fn ignores_children() -> bool {
    // SAFETY: asks only.
    unsafe { sys::sigaction(libc::SIGCHLD, None) }.is_ok_and(|action| {
        action.handler == libc::SIG_IGN
            || action.flags & u64::from(libc::SA_NOCLDWAIT.unsigned_abs()) != 0
    })
}

/// Does what a wait with these options does, WEXITED among them if it is for those that have
/// ended. `real` asks the kernel, with these options more; it has `None`
/// where there are children but none has ended. `own` makes an answer of an adopted one.
/// The answer is `None` where the caller did not want to wait.
pub(crate) fn wait<T>(
    target: Target,
    options: c_int,
    real: &mut dyn FnMut(c_int) -> Result<Option<T>, c_int>,
    own: impl Fn(&End) -> T,
) -> Result<Option<T>, c_int> {
    let is_nonblocking = options & libc::WNOHANG != 0;
    let mut nap_ns = SHORTEST_NAP_NS;
    loop {
        // Before the look at the table: what changes after it wakes who sleeps below.
        let seen = changes();
        let (table, running) = match find(target, options) {
            Found::Ended(table, place, end) => {
                // Of two threads one gets it.
                if options & libc::WNOWAIT != 0 || table.release(place) {
                    return Ok(Some(own(&end)));
                }
                continue;
            }
            Found::News(table, place, end) => {
                if options & libc::WNOWAIT != 0 || table.take_news(place, end.status) {
                    return Ok(Some(own(&end)));
                }
                continue;
            }
            Found::Running(table, place) => (table, place),
            Found::Nobody => match real(0) {
                // It has slept in the kernel since before a snapshot, and has woken in a
                // process that has no children: they are adopted now.
                Err(libc::ECHILD) if !matches!(find(target, options), Found::Nobody) => continue,
                // The signal is that of the child that is waited for. The kernel would have
                // looked at the child first.
                Err(libc::EINTR) if find(target, options).is_answer() => continue,
                answer => return answer,
            },
        };
        let slept = if target.is_one() {
            if !is_nonblocking && options & NEWS != 0 {
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
            // The kernel tells nobody who sleeps here of a child of its own. Without
            // another thread there will be none.
            let limit_ns = (has_real || !is_single_threaded()).then_some(nap_ns);
            nap_ns = (nap_ns * 2).min(LONGEST_NAP_NS);
            asleep(|| table.sleep_until_changed(seen, limit_ns)).or_else(|errno| {
                // With a time limit the kernel does not start again for anybody.
                let is_genuine = limit_ns.is_none() || interrupts_calls();
                if is_genuine { Err(errno) } else { Ok(()) }
            })
        };
        if slept == Err(Errno(libc::EINTR)) && !find(target, options).is_answer() {
            return Err(libc::EINTR);
        }
    }
}

/// How long to sleep between looks at the kernel's children and at the adopted ones, where
/// there may be both. A signal that comes in the microseconds of a look interrupts nothing,
/// as one that comes just before a wait.
const SHORTEST_NAP_NS: u64 = 1_000_000;
const LONGEST_NAP_NS: u64 = 20_000_000;

fn interrupts_calls() -> bool {
    restart::has_interrupting_handler() || dispositions::interrupt_calls()
}

unsafe extern "C" {
    /// libc's own: 0 as soon as there has been a second thread.
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

/// Sleeps in a place where the thread can be cancelled, as in libc's own waits. Errors
/// other than EINTR mean that the caller is to look again.
fn asleep(sleep: impl FnOnce() -> sys::Result<()>) -> sys::Result<()> {
    let mut before = 0;
    // SAFETY: writes one number. Should the thread be cancelled, nothing is held here.
    unsafe { pthread_setcanceltype(AT_ONCE, &raw mut before) };
    let slept = sleep();
    // SAFETY: as above.
    unsafe { pthread_setcanceltype(before, ptr::null_mut()) };
    slept.or_else(|errno| match errno {
        Errno(libc::EINTR) => Err(errno),
        _ => Ok(()),
    })
}
