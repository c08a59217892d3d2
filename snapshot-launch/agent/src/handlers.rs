//! Our two signal handlers: the trigger takes a snapshot, SIGINT asks the supervisor
//! whose it is.
//!
//! Context: AS-SAFE. `errno` is never touched: all calls are raw.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use libc::{siginfo_t, ucontext_t};
use snapshot_core::link::Link;
use snapshot_core::restart_interrupted_call;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::take::{Wish, take};
use snapshot_core::wire::{Ask, FromAgent, FromSupervisor, PASSED_MAGIC, REQUEST_MAGIC, Text};

use crate::{dispositions, session};

/// A take is under way: a trigger that arrives now only counts itself. Relaxed, since
/// the handler and what it interrupts are one thread.
static TAKING: AtomicBool = AtomicBool::new(false);
/// Signals sent straight to this process that no take has answered yet.
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// The supervisor's request that no take has answered yet; it sends one at a time.
static REQUEST: AtomicU32 = AtomicU32::new(0);

/// A revived copy owes nothing: the requests were its dead branch's.
pub(crate) fn forget_requests() {
    SIGNALS.store(0, Ordering::Relaxed);
    REQUEST.store(0, Ordering::Relaxed);
}

/// Begins a take from ordinary context; false if one is under way.
pub(crate) fn begin_take() -> bool {
    !TAKING.swap(true, Ordering::Relaxed)
}

/// Ends it.
pub(crate) fn end_take() {
    TAKING.store(false, Ordering::Relaxed);
}

/// Who sent a signal, and what it carries.
struct Sender {
    code: c_int,
    pid: i32,
    value: u64,
}

impl Sender {
    /// # Safety
    /// `info` must be the second argument of a running handler.
    unsafe fn of(info: *const siginfo_t) -> Self {
        // SAFETY: the kernel has written a whole siginfo.
        let info = unsafe { &*info };
        Self {
            code: info.si_code,
            // SAFETY: for signals that a process sends, and zero for those that the
            // kernel does, since it clears the rest.
            pid: unsafe { info.si_pid() },
            // SAFETY: as above; only looked at for SI_QUEUE.
            value: unsafe { info.si_value() }.sival_ptr.addr() as u64,
        }
    }

    /// The lower half of a value that carries `magic` in its upper half.
    fn carries(&self, magic: u64) -> Option<u32> {
        (self.code == libc::SI_QUEUE && self.value & !0xffff_ffff == magic)
            .then_some((self.value & 0xffff_ffff) as u32)
    }

    /// Whether some process meant to send it: not the kernel, nor a timer or the like
    /// that the program has set up itself.
    fn is_sent(&self) -> bool {
        matches!(self.code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL)
    }
}

/// The trigger signal's handler.
pub(crate) extern "C" fn on_trigger(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    let at_ns = sys::now_ns();
    // SAFETY: the handler's own argument.
    let sender = unsafe { Sender::of(info) };
    let from_program_itself =
        sender.pid == sys::getpid() && dispositions::wanted(signal).is_handler();
    if !session::is_live() || !sender.is_sent() || from_program_itself {
        // SAFETY: the handler's own arguments.
        unsafe { dispositions::run_own(signal, info, context) };
        return;
    }
    match sender.carries(REQUEST_MAGIC) {
        Some(request) => REQUEST.store(request, Ordering::Relaxed),
        None => {
            SIGNALS.fetch_add(1, Ordering::Relaxed);
        }
    }
    answer_requests(at_ns);
    // SAFETY: the handler's own argument.
    unsafe { restart_interrupted_call(context) };
}

/// Takes as many snapshots as are asked for, those that are asked for meanwhile too.
fn answer_requests(first_at_ns: u64) {
    let mut at_ns = first_at_ns;
    while begin_take() {
        while let Some(ask) = next_ask() {
            let wish = Wish {
                ask,
                at_ns,
                label: Text::EMPTY,
            };
            // SAFETY: in a handler with everything but the trigger blocked, which `take`
            // blocks itself; what the program was in the middle of stays in the middle
            // in both copies.
            unsafe {
                take(
                    session::name(),
                    wish,
                    session::trigger_set(),
                    session::revived,
                )
            };
            at_ns = sys::now_ns();
        }
        end_take();
        // One may have come between the last look and the line above.
        if SIGNALS.load(Ordering::Relaxed) == 0 && REQUEST.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

fn next_ask() -> Option<Ask> {
    match REQUEST.swap(0, Ordering::Relaxed) {
        0 => SIGNALS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_sub(1)
            })
            .ok()
            .map(|_| Ask::Signal),
        request => Some(Ask::Request(request)),
    }
}

/// `--at-start`, from the constructor.
pub(crate) fn take_at_start() {
    let open = sys::block(SignalSet::ALL.without(session::trigger_set()));
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    answer_requests(sys::now_ns());
    sys::set_mask(open);
}

/// SIGINT's handler. Everything is blocked while it asks, the trigger above all: a copy that
/// is taken here would ask again when it is revived.
pub(crate) extern "C" fn on_interrupt(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
) {
    // SAFETY: the handler's own argument.
    let sender = unsafe { Sender::of(info) };
    // What the program sends itself is its own.
    let is_own = !session::is_live() || (sender.is_sent() && sender.pid == sys::getpid());
    if is_own || ask_whose(&sender) {
        // SAFETY: the handler's own arguments.
        unsafe { dispositions::run_own(signal, info, context) };
    } else {
        // SAFETY: the handler's own argument.
        unsafe { restart_interrupted_call(context) };
    }
}

/// Whether the signal is the program's own. If it means a revert, the supervisor ends
/// this process before it answers.
fn ask_whose(sender: &Sender) -> bool {
    let question = FromAgent::Interrupted {
        sender: if sender.is_sent() { sender.pid } else { 0 },
        passed: sender.carries(PASSED_MAGIC).unwrap_or(0),
    };
    let answer = Link::connect(session::name()).and_then(|link| {
        let answer = link.say(question).and_then(|()| link.hear());
        link.close();
        answer
    });
    // With nobody to ask there is nobody else whose it could be.
    !matches!(answer, Ok((FromSupervisor::Denied, _)))
}
