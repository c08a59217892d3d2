//! Conversations with the supervisor: one connection each time, closed right after.
//!
//! No snapshot is taken meanwhile ([`Conversation`]). A copy made in the middle would repeat
//! everything when it is revived.
//!
//! Context: AS-SAFE. The program's signals are blocked meanwhile: a handler that takes a
//! snapshot would wait for the end of the conversation that it interrupts.

use core::sync::atomic::{AtomicBool, Ordering};

use snapshot_core::sys::{self, Errno, SignalInfo, SignalSet};
use snapshot_core::terms::{self, OwnUse};
use snapshot_core::threads::turn::{self, Conversation};
use snapshot_core::wire::{FromCaller, ToCaller, link::Link};

use super::state::{forbids_snapshots, is_live, name, supervisor, trigger};

/// The outcome of a question to the supervisor.
pub(crate) enum Reply {
    /// The supervisor's answer.
    Answer(ToCaller),
    /// The supervisor can't be reached.
    Unreachable(Errno),
    /// The question was never asked: the thread was copied while it waited to speak, and this
    /// is the revived copy.
    Revived,
}

/// Asks the supervisor something. The caller has blocked the program's signals.
pub(crate) fn ask(question: FromCaller) -> Reply {
    if forbids_snapshots() {
        return Reply::Unreachable(Errno(libc::EPERM));
    }
    let life = turn::life();
    let _conversation = Conversation::begin();
    if life != turn::life() {
        return Reply::Revived;
    }
    match exchange(question) {
        Ok((answer, descriptor)) => {
            // A second Hello gets the table of children again, which is mapped already.
            if let Some(descriptor) = descriptor {
                sys::close(descriptor);
            }
            Reply::Answer(answer)
        }
        Err(errno) => Reply::Unreachable(errno),
    }
}

/// One message and its answer, with the descriptor that may come with it. The caller is in a
/// [`Conversation`].
///
/// # Errors
/// If the supervisor can't be reached, or hangs up.
pub(crate) fn exchange(message: FromCaller) -> sys::Result<(ToCaller, Option<i32>)> {
    let link = Link::connect(name())?;
    let answer = link.say(message).and_then(|()| link.hear());
    link.close();
    answer
}

/// Tells the supervisor, once, that the program uses the trigger itself.
pub(crate) fn report_use(own: OwnUse) {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    // Relaxed: one of several threads reports it, and nothing else depends on it.
    if REPORTED.swap(true, Ordering::Relaxed) || !is_live() {
        return;
    }
    let open = sys::block(SignalSet::PROGRAM);
    {
        let _conversation = Conversation::begin();
        // A supervisor that can't be reached has no use for the report.
        if let Ok(link) = Link::connect(name()) {
            let _ = link.say(FromCaller::Uses(own));
            link.close();
        }
    }
    sys::set_mask(open);
}

/// Tells the supervisor by signal that this process can't connect to it: for a request (its
/// number), or for a trigger (0). Nothing is sent if the supervisor is gone.
pub(crate) fn report_unreachable(request: u32, errno: Errno) {
    let supervisor = supervisor();
    if supervisor == sys::getppid() {
        let value = terms::mute(request, errno.0);
        let _ = sys::queue_to_process(supervisor, &SignalInfo::queued(trigger(), value));
    }
}
