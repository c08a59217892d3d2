//! The function that the library calls; see [`snapshot_core::bridge`].
//!
//! Context: IN-PROCESS.

use snapshot_core::bridge::{self, Answer, Call};
use snapshot_core::link::Link;
use snapshot_core::sys::{self, Errno, SignalSet};
use snapshot_core::take::{Outcome, Wish, take};
use snapshot_core::wire::{Ask, Ended, FromAgent, FromSupervisor, Obstacle, Text};

use crate::{handlers, session};

/// Does what the library asks.
///
/// # Safety
/// `call` must point to a [`Call`] whose label is readable, `answer` to an [`Answer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cargo_snapshot_agent_v1(call: *const Call, answer: *mut Answer) {
    // SAFETY: the caller's promise.
    let call = unsafe { call.read() };
    let mut reply = Answer::EMPTY;
    if session::is_live() {
        let open = sys::block(SignalSet::ALL);
        match call.verb {
            bridge::CALL_TAKE => take_for(&call, &mut reply),
            bridge::CALL_REVERT => ask(FromAgent::Revert { id: call.id }, &mut reply),
            bridge::CALL_COMMIT => ask(FromAgent::Commit, &mut reply),
            bridge::CALL_DROP => ask(FromAgent::Drop { id: call.id }, &mut reply),
            bridge::CALL_LIST => ask(FromAgent::List, &mut reply),
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
    if !handlers::begin_take() {
        // From a handler of the program that has interrupted a take.
        return;
    }
    let wish = Wish {
        ask: Ask::Api,
        at_ns: sys::now_ns(),
        label,
    };
    // SAFETY: ordinary context, all signals blocked; both copies leave through here.
    let outcome = unsafe { take(session::name(), wish, SignalSet(0), session::revived) };
    handlers::end_take();
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
            (reply.ended, reply.number) = match ended {
                Ended::Exited(code) => (0, code),
                Ended::Killed(signal) => (1, signal),
                Ended::Reverted => (2, 0),
                Ended::Interrupted => (3, 0),
            };
            reply.count = not_restored;
            reply.latency_ns = sys::now_ns().saturating_sub(asked_ns);
        }
        Outcome::Refused(Some(Obstacle::Threads(count))) => {
            reply.verdict = bridge::ANSWER_THREADS;
            reply.count = count;
        }
        Outcome::Refused(Some(Obstacle::Failed(_, errno))) => failed(Errno(errno), reply),
        Outcome::Refused(None) => {}
    }
}

fn ask(message: FromAgent, reply: &mut Answer) {
    let answer = Link::connect(session::name()).and_then(|link| {
        let answer = link.say(message).and_then(|()| link.hear());
        link.close();
        answer
    });
    match answer {
        Ok((FromSupervisor::Done { depth, ids }, _)) => {
            reply.verdict = bridge::ANSWER_LIST;
            reply.count = depth;
            reply.ids = ids;
        }
        Ok(_) => {}
        Err(errno) => failed(errno, reply),
    }
}

fn failed(errno: Errno, reply: &mut Answer) {
    reply.verdict = bridge::ANSWER_FAILED;
    reply.number = errno.0;
}
