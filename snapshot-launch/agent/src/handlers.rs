//! Our two signal handlers: the trigger takes a snapshot, SIGINT asks the supervisor
//! whose it is.
//!
//! Context: AS-SAFE. `errno` is never touched: all calls are raw.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use libc::{siginfo_t, ucontext_t};
use snapshot_core::acts::{
    opening::{Work, if_free},
    session::{Outcome, Wish},
    take,
};
use snapshot_core::restart_interrupted_call;
use snapshot_core::sys::{self, Errno, SignalInfo, SignalSet};
use snapshot_core::terms::{
    Ask, Glimpse, Obstacle, OwnUse, PASSED_MAGIC, REQUEST_MAGIC, REQUEST_SIGNAL, Step, Text,
};
use snapshot_core::threads::{
    restart::Interrupted,
    turn::{self, Conversation},
};
use snapshot_core::wire::{FromAgent, FromSupervisor, link::Link};

use crate::senders::{self, Sender};
use crate::{dispositions, filters, session};

/// Signals sent straight to this process that no take has answered yet. Whichever thread
/// gets one counts it, and whose turn it is answers it.
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// The supervisor's request that no take has answered yet; it sends one at a time.
static REQUEST: AtomicU32 = AtomicU32::new(0);

/// A revived copy owes nothing: the requests were its dead branch's.
pub(crate) fn forget_requests() {
    SIGNALS.store(0, Ordering::SeqCst);
    REQUEST.store(0, Ordering::SeqCst);
}

/// The thread that is taking, with the trigger open; 0 where none is.
static TAKER: AtomicI32 = AtomicI32::new(0);

/// The trigger signal's handler.
///
/// Where the program has a handler, ours is installed with its mask and its flags: so it is
/// entered with just the signals blocked that the program's would be entered with.
pub(crate) extern "C" fn on_trigger(signal: c_int, info: *mut siginfo_t, context: *mut ucontext_t) {
    let entered = sys::block(SignalSet::ALL).without(dispositions::REQUESTS);
    let at_ns = sys::now_ns();
    // SAFETY: the handler's own argument.
    let told = unsafe { SignalInfo::of_handler(info) };
    let sender = Sender::of(&told);
    if !session::is_live() || sender.is_inside(senders::handles_trigger()) {
        if TAKER.load(Ordering::Relaxed) == sys::gettid() {
            // SAFETY: the handler's own argument.
            unsafe { put_off(&told, context) };
        } else {
            // SAFETY: the handler's own arguments.
            unsafe { dispositions::run_own(signal, info, context, entered) };
        }
        return;
    }
    match sender.carries(REQUEST_MAGIC) {
        Some(request) => REQUEST.store(request, Ordering::SeqCst),
        None => {
            SIGNALS.fetch_add(1, Ordering::SeqCst);
        }
    }
    let mut requests = Requests::new(at_ns, Some((signal, context)));
    if !answer_requests(&mut requests) {
        // SAFETY: the handler's own argument.
        unsafe { restart_interrupted_call(signal, context) };
    }
}

/// Serves a request of the supervisor's, in the handler of the signal by which they come.
///
/// # Safety
/// `context` must be the third argument of the running handler, which has everything blocked.
pub(crate) unsafe extern "C" fn on_request(request: u32, context: *mut ucontext_t) {
    if !session::is_live() {
        return;
    }
    let at_ns = sys::now_ns();
    REQUEST.store(request, Ordering::SeqCst);
    let mut requests = Requests::new(at_ns, Some((REQUEST_SIGNAL, context)));
    if !answer_requests(&mut requests) {
        // SAFETY: the caller's promise.
        unsafe { restart_interrupted_call(REQUEST_SIGNAL, context) };
    }
}

/// A signal of the program's own that comes while this thread takes, with the trigger open:
/// it waits in the kernel until the take is over, as it would for any other thread.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn put_off(told: &SignalInfo, context: *mut ucontext_t) {
    // SAFETY: the context is the running handler's.
    let mask = unsafe { &raw mut (*context).uc_sigmask }.cast::<u64>();
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let before = SignalSet(unsafe { mask.read() });
    let closed = before.with(session::trigger_set());
    // SAFETY: as above; the mask that the handler returns to.
    unsafe { mask.write(closed.0) };
    let _ = if told.code() == libc::SI_TKILL {
        sys::queue_to_thread(sys::gettid(), told)
    } else {
        sys::queue_to_self(told)
    };
}

/// What is to be answered, and the signal of the thread that answers with its handler's
/// context.
struct Requests {
    at_ns: u64,
    context: Option<(c_int, *mut ucontext_t)>,
    interrupted: Option<Interrupted>,
    glimpse: Glimpse,
}

impl Requests {
    fn new(at_ns: u64, context: Option<(c_int, *mut ucontext_t)>) -> Self {
        Self {
            at_ns,
            context,
            interrupted: None,
            glimpse: Glimpse::default(),
        }
    }

    fn wish(&self, ask: Ask) -> Wish {
        Wish {
            ask,
            at_ns: self.at_ns,
            label: Text::EMPTY,
        }
    }

    fn take(&mut self, ask: Ask) {
        // SAFETY: in the first thread, in its turn; what the program was in the middle of
        // stays in the middle in both copies.
        let taken = unsafe { take::take(&session::of_take(), self.wish(ask)) };
        let (outcome, glimpse) = taken;
        if let Outcome::Refused(Some(Obstacle::Failed(Step::Link, errno))) = outcome {
            let request = match ask {
                Ask::Request(request) => request,
                Ask::Signal | Ask::Api => 0,
            };
            session::tell_mute(request, Errno(errno));
        }
        if glimpse.call.is_some() {
            self.glimpse = glimpse;
        }
        self.at_ns = sys::now_ns();
    }
}

impl Work for Requests {
    fn begin(&mut self) {
        // SAFETY: the running handler's own argument, used in `end`, before it returns.
        self.interrupted = self
            .context
            .take()
            .map(|(signal, context)| unsafe { Interrupted::note(signal, context) });
        self.glimpse = Glimpse::default();
    }

    fn in_first_thread(&mut self) {
        let closed = begin_to_count();
        while let Some(ask) = next_ask() {
            self.take(ask);
        }
        end_counting(closed);
    }

    fn hindered(&mut self, obstacle: Obstacle) {
        while let Some(ask) = next_ask() {
            take::report_hindrance(&session::of_take(), self.wish(ask), obstacle);
        }
    }

    fn end(&mut self) {
        if let Some(interrupted) = self.interrupted.take() {
            // SAFETY: the handler is still running.
            unsafe { interrupted.go_on(&self.glimpse) };
        }
    }
}

/// Takes as many snapshots as are asked for, those that are asked for meanwhile too. Where
/// another thread is at it that one does, and this one has nothing to do: false.
fn answer_requests(requests: &mut Requests) -> bool {
    let mut has_answered = false;
    // SAFETY: this thread does not have the turn, and in a handler of ours everything is
    // blocked.
    while let Some(done) = unsafe { if_free(requests) } {
        has_answered = true;
        if done.is_err() {
            // Without memory for a stack nothing can be taken, nor anybody told; nor would
            // there be any at the next attempt, or the one after that.
            forget_requests();
        }
        // One may have come between the last look and the end of the turn. Sequentially
        // consistent with the counting above: either this thread sees it, or the one that
        // has counted it finds the turn free.
        // In a new life too: what is counted there has come since, while the turn was still
        // taken, and who has counted it has left it to this thread.
        let is_done = SIGNALS.load(Ordering::SeqCst) == 0 && REQUEST.load(Ordering::SeqCst) == 0;
        if is_done {
            break;
        }
    }
    has_answered
}

/// More requests are counted during a take; signals of the program's own are put off. The
/// calling thread is on the engine's stack, where handlers have room.
pub(crate) fn begin_to_count() -> SignalSet {
    TAKER.store(sys::gettid(), Ordering::Relaxed);
    sys::unblock(session::trigger_set())
}

/// Ends that, in the live process and in a revived copy.
pub(crate) fn end_counting(closed: SignalSet) {
    sys::set_mask(closed);
    TAKER.store(0, Ordering::Relaxed);
}

/// Takes what a trigger has asked for that a thread of the program has waited for, and got.
pub(crate) fn serve_waited_for() {
    let open = sys::block(SignalSet::PROGRAM);
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    answer_left();
    sys::set_mask(open);
}

/// Takes what was asked for by signal while the library was taking.
pub(crate) fn answer_left() {
    if SIGNALS.load(Ordering::SeqCst) != 0 || REQUEST.load(Ordering::SeqCst) != 0 {
        let mut requests = Requests::new(sys::now_ns(), None);
        answer_requests(&mut requests);
    }
}

fn next_ask() -> Option<Ask> {
    match REQUEST.swap(0, Ordering::SeqCst) {
        0 => SIGNALS
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                count.checked_sub(1)
            })
            .ok()
            .map(|_| Ask::Signal),
        request => Some(Ask::Request(request)),
    }
}

/// `--at-start`, from the constructor.
pub(crate) fn take_at_start() {
    let open = sys::block(SignalSet::PROGRAM);
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    let mut requests = Requests::new(sys::now_ns(), None);
    answer_requests(&mut requests);
    sys::set_mask(open);
}

/// SIGINT's handler. Everything is blocked while it asks, and no snapshot is taken
/// meanwhile: a copy that is taken here would ask again when it is revived.
pub(crate) extern "C" fn on_interrupt(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut ucontext_t,
) {
    // SAFETY: the handler's own argument.
    let sender = Sender::of(&unsafe { SignalInfo::of_handler(info) });
    // What the program sends itself is its own.
    let is_own = !session::is_live() || sender.is_this_process();
    if is_own || ask_whose(&sender) {
        // SAFETY: the handler's own arguments.
        unsafe { dispositions::run_own_after(signal, info, context) };
    } else {
        // SAFETY: the handler's own argument.
        unsafe { restart_interrupted_call(signal, context) };
    }
}

/// Whether the signal is the program's own. If it means a revert, the supervisor ends
/// this process before it answers.
fn ask_whose(sender: &Sender) -> bool {
    let question = FromAgent::Interrupted {
        sender: sender.process(),
        passed: sender.carries(PASSED_MAGIC).unwrap_or(0),
    };
    // With nobody to ask there is nobody else whose it could be. In a life after the one
    // in which it came it was the dead branch's.
    match ask(question) {
        Asked::Answered(answer) => !matches!(answer, FromSupervisor::Denied),
        Asked::Unreachable(_) => true,
        Asked::InAnotherLife => false,
    }
}

/// Tells the supervisor what the program does with the trigger itself, the first time.
pub(crate) fn tell_of_use(own: OwnUse) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Ordering::Relaxed) || !session::is_live() {
        return;
    }
    let open = sys::block(SignalSet::PROGRAM);
    {
        let _conversation = Conversation::begin();
        // Where nobody hears it nobody is told.
        if let Ok(link) = Link::connect(session::name()) {
            let _ = link.say(FromAgent::Uses(own));
            link.close();
        }
    }
    sys::set_mask(open);
}

/// How a question to the supervisor went.
pub(crate) enum Asked {
    /// This is what it says.
    Answered(FromSupervisor),
    /// It can't be reached.
    Unreachable(sys::Errno),
    /// While it waited for its turn this thread was copied, and revived.
    InAnotherLife,
}

/// Asks the supervisor something. All signals must be blocked.
pub(crate) fn ask(question: FromAgent) -> Asked {
    if filters::forbid_snapshots() {
        return Asked::Unreachable(sys::Errno(libc::EPERM));
    }
    let life = turn::life();
    let _conversation = Conversation::begin();
    if life != turn::life() {
        return Asked::InAnotherLife;
    }
    let answer = Link::connect(session::name()).and_then(|link| {
        let answer = link.say(question).and_then(|()| link.hear());
        link.close();
        answer
    });
    match answer {
        Ok((answer, passed)) => {
            // The family table, which a second Hello gets as well: it is there already.
            if let Some(descriptor) = passed {
                sys::close(descriptor);
            }
            Asked::Answered(answer)
        }
        Err(errno) => Asked::Unreachable(errno),
    }
}
