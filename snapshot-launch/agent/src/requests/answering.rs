//! Answers the requests that have come by signal, with a take each.
//!
//! Context: AS-SAFE.

use core::ffi::c_int;

use libc::ucontext_t;
use snapshot_core::acts::{
    opening::{Work, if_free},
    session::{Outcome, TakeRequest},
    take,
};
use snapshot_core::sys::{self, Errno, SignalSet};
use snapshot_core::terms::{Ask, InterruptedCall, Obstacle, Step, Text};
use snapshot_core::threads::restart::Interrupted;

use super::{context::of_take, pending};
use crate::session;

/// The work of answering, and the signal that has brought this thread here, with its handler's
/// context.
pub(super) struct Answering {
    at_ns: u64,
    context: Option<(c_int, *mut ucontext_t)>,
    interrupted: Option<Interrupted>,
    interrupted_call: InterruptedCall,
}

impl Answering {
    pub(super) fn new(at_ns: u64, context: Option<(c_int, *mut ucontext_t)>) -> Self {
        Self {
            at_ns,
            context,
            interrupted: None,
            interrupted_call: InterruptedCall::default(),
        }
    }

    fn request(&self, ask: Ask) -> TakeRequest {
        TakeRequest {
            ask,
            at_ns: self.at_ns,
            label: Text::EMPTY,
        }
    }

    fn take(&mut self, ask: Ask) {
        // SAFETY: in the first thread, in its turn; what the program was doing goes on in both
        // copies.
        let taken = unsafe { take::take(&of_take(), self.request(ask)) };
        let (outcome, interrupted_call) = taken;
        if let Outcome::Refused(Some(Obstacle::Failed(Step::Link, errno))) = outcome {
            report_unreachable(ask, Errno(errno));
        }
        if interrupted_call.call.is_some() {
            self.interrupted_call = interrupted_call;
        }
        self.at_ns = sys::now_ns();
    }
}

/// Says by a signal that this process can't connect to the supervisor.
fn report_unreachable(ask: Ask, errno: Errno) {
    let request = match ask {
        Ask::Request(request) => request,
        Ask::Signal | Ask::Api => 0,
    };
    session::report_unreachable(request, errno);
}

impl Work for Answering {
    fn begin(&mut self) {
        // SAFETY: the running handler's own argument, used in `end`, before it returns.
        self.interrupted = self
            .context
            .take()
            .map(|(signal, context)| unsafe { Interrupted::note(signal, context) });
        self.interrupted_call = InterruptedCall::default();
    }

    fn in_first_thread(&mut self) {
        let closed = pending::open_trigger();
        while let Some(ask) = pending::next() {
            self.take(ask);
        }
        pending::close_trigger(closed);
    }

    fn hindered(&mut self, obstacle: Obstacle) {
        while let Some(ask) = pending::next() {
            let told = take::report_hindrance(&of_take(), self.request(ask), obstacle);
            if let Err(errno) = told {
                report_unreachable(ask, errno);
            }
        }
    }

    fn end(&mut self) {
        if let Some(interrupted) = self.interrupted.take() {
            // SAFETY: the handler is still running.
            unsafe { interrupted.go_on(&self.interrupted_call) };
        }
    }
}

/// Takes all requested snapshots, those that are requested meanwhile too. False if another
/// thread takes: then that thread does the work. All signals are blocked.
pub(super) fn answer(answering: &mut Answering) -> bool {
    let mut has_answered = false;
    // SAFETY: this thread does not have the turn, and in a handler of ours everything is
    // blocked.
    while let Some(done) = unsafe { if_free(answering) } {
        has_answered = true;
        if done.is_err() {
            // Without memory for a stack neither a take nor a report is possible, now or at the
            // next attempts.
            pending::forget();
        }
        // A request may have come between the last look and the end of the turn. Sequentially
        // consistent with the counting: either this thread sees the request, or the thread that
        // has counted it finds the turn free. This holds in a revived copy too: requests
        // counted there came while the turn was still taken, and were left to this thread.
        if !pending::is_any() {
            break;
        }
    }
    has_answered
}

/// Answers requests that have come by signal meanwhile, outside of any handler.
pub(super) fn answer_pending() {
    if pending::is_any() {
        answer(&mut Answering::new(sys::now_ns(), None));
    }
}

/// Takes a snapshot for a trigger that the program has received by a wait.
pub(crate) fn answer_waited_for() {
    let open = sys::block(SignalSet::PROGRAM);
    pending::count_signal();
    answer_pending();
    sys::set_mask(open);
}

/// Takes a snapshot for `--at-start`, in the constructor.
pub(crate) fn take_at_start() {
    let open = sys::block(SignalSet::PROGRAM);
    pending::count_signal();
    answer(&mut Answering::new(sys::now_ns(), None));
    sys::set_mask(open);
}
