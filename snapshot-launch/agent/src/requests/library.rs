//! The function that the library calls; see [`snapshot_core::library::bridge`].
//!
//! Context: IN-PROCESS.

use snapshot_core::acts::{
    opening::{Work, in_turn},
    session::{Outcome, TakeRequest},
    take,
};
use snapshot_core::library::bridge::{self, Answer, Call};
use snapshot_core::sys::{self, Errno, SignalSet};
use snapshot_core::terms::{Ask, Obstacle, Step, Text};
use snapshot_core::threads::timing;
use snapshot_core::wire::{FromCaller, ToCaller};

use super::{answering::answer_pending, context::of_take, pending};
use crate::children::table;
use crate::session::{self, Reply};

/// Does what the library asks.
///
/// # Safety
/// `call` must point to a [`Call`] whose label is readable, `answer` to an [`Answer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cargo_snapshot_agent_v3(call: *const Call, answer: *mut Answer) {
    // SAFETY: the caller's promise.
    let call = unsafe { call.read() };
    let mut reply = Answer::EMPTY;
    if session::forbids_snapshots() {
        reply.verdict = bridge::ANSWER_FAILED;
        reply.number = libc::EPERM;
    } else if session::is_live() {
        // Not libc's own two: a thread that waits here must be able to park.
        let open = sys::block(SignalSet::PROGRAM);
        match call.verb {
            bridge::CALL_TAKE => take_for(&call, &mut reply),
            bridge::CALL_REVERT => ask(FromCaller::Revert { id: call.id }, &mut reply),
            bridge::CALL_COMMIT => ask(FromCaller::Commit, &mut reply),
            bridge::CALL_DROP => ask(FromCaller::Drop { id: call.id }, &mut reply),
            bridge::CALL_LIST => ask(FromCaller::List, &mut reply),
            bridge::CALL_PHASES => give_phases(&mut reply),
            bridge::CALL_NOTICES => {
                reply.verdict = bridge::ANSWER_LIST;
                reply.address = table::notices().map_or(0, |notices| (&raw const *notices).addr());
            }
            bridge::CALL_RESEEDS => {
                session::set_program_reseeds(call.id != 0);
                reply.verdict = bridge::ANSWER_LIST;
            }
            _ => {}
        }
        sys::set_mask(open);
    } else {
        reply.verdict = bridge::ANSWER_NOT_LIVE;
    }
    // SAFETY: the caller's promise; in a revived copy it is the same memory, copied.
    unsafe { answer.write(reply) };
}

fn take_for(call: &Call, reply: &mut Answer) {
    let label = if call.label_length == 0 {
        Text::EMPTY
    } else {
        // SAFETY: the label is readable for its length, by the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(call.label, call.label_length) };
        Text::new(core::str::from_utf8(bytes).unwrap_or(""))
    };
    let mut job = Job {
        request: TakeRequest {
            ask: Ask::Api,
            at_ns: sys::now_ns(),
            label,
        },
        outcome: Outcome::Refused(None),
    };
    // SAFETY: this thread does not have the turn; what is called takes no locks.
    if let Err(errno) = unsafe { in_turn(&mut job) } {
        job.hindered(Obstacle::Failed(Step::Park, errno.0));
    }
    answer_pending();
    let outcome = job.outcome;
    match outcome {
        Outcome::Live { id } => {
            reply.verdict = bridge::ANSWER_LIVE;
            reply.id = id;
        }
        Outcome::Revived {
            id,
            asked_ns,
            ended,
            not_restored,
        } => {
            reply.verdict = bridge::ANSWER_REVIVED;
            reply.id = id;
            let (how, number) = ended.to_numbers();
            (reply.ended, reply.number) = (u32::from(how), number);
            reply.count = not_restored;
            reply.latency_ns = sys::now_ns().saturating_sub(asked_ns);
        }
        Outcome::Refused(Some(obstacle)) => *reply = Answer::hindered(obstacle),
        Outcome::Refused(None) => {}
    }
}

/// A take that the library asks for.
struct Job {
    request: TakeRequest,
    outcome: Outcome,
}

impl Work for Job {
    fn in_first_thread(&mut self) {
        let closed = pending::open_trigger();
        // SAFETY: in the first thread, in its turn; both copies leave through here.
        let (outcome, _) = unsafe { take::take(&of_take(), self.request) };
        self.outcome = outcome;
        pending::close_trigger(closed);
    }

    fn hindered(&mut self, obstacle: Obstacle) {
        // The caller hears of it in any case.
        let _ = take::report_hindrance(&of_take(), self.request, obstacle);
        self.outcome = Outcome::Refused(Some(obstacle));
    }
}

fn ask(message: FromCaller, reply: &mut Answer) {
    match session::ask(message) {
        Reply::Answer(ToCaller::Done { depth, ids }) => {
            reply.verdict = bridge::ANSWER_LIST;
            reply.count = depth;
            reply.ids = ids;
        }
        // A revived copy doesn't do what its dead branch was about to do.
        Reply::Answer(_) | Reply::Revived => {}
        Reply::Unreachable(errno) => failed(errno, reply),
    }
}

fn give_phases(reply: &mut Answer) {
    reply.verdict = bridge::ANSWER_LIST;
    for (slot, ns) in reply.ids.iter_mut().zip(timing::phases_ns()) {
        *slot = u32::try_from(ns / 1000).unwrap_or(u32::MAX);
    }
}

fn failed(errno: Errno, reply: &mut Answer) {
    reply.verdict = bridge::ANSWER_FAILED;
    reply.number = errno.0;
}
