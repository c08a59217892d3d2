//! The agent in this process, if a launcher has put one there.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "calls the agent's exported function")]

use std::sync::OnceLock;

use super::error::SnapshotError;
use crate::library::alone;
use crate::library::bridge::{self, Answer, Call, Entry};
use crate::process::notices::Notices;
use crate::terms::Obstacle;
use crate::wire::LISTED;

/// What answers for the launcher.
#[derive(Clone, Copy)]
pub(in crate::library) struct Agent {
    entry: Entry,
}

impl Agent {
    /// In this process. `None` in a program alone.
    pub(in crate::library) fn here() -> Option<Self> {
        static FOUND: OnceLock<Option<Agent>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            // SAFETY: dlsym takes a NUL-terminated name, which a CStr is.
            let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, bridge::SYMBOL.as_ptr()) };
            if symbol.is_null() {
                return None;
            }
            // SAFETY: only the agent exports this versioned name, with this signature.
            let entry = unsafe { std::mem::transmute::<*mut libc::c_void, Entry>(symbol) };
            Some(Self { entry })
        })
    }

    /// Has it do something: one of the `CALL_*` numbers.
    pub(super) fn call(self, verb: u32, id: u32, label: &str) -> Answer {
        let call = Call {
            verb,
            id,
            label: label.as_ptr(),
            label_length: label.len(),
        };
        let mut answer = Answer::EMPTY;
        // SAFETY: the entry has this signature, by its versioned name; both structures are live
        // locals.
        unsafe { (self.entry)(&raw const call, &raw mut answer) };
        answer
    }

    /// The same for what is answered by the list of all snapshots.
    ///
    /// # Errors
    /// What the agent answers.
    pub(super) fn ask(self, verb: u32, id: u32) -> Result<(u32, [u32; LISTED]), SnapshotError> {
        let answer = self.call(verb, id, "");
        if answer.verdict == bridge::ANSWER_LIST {
            Ok((answer.count, answer.ids))
        } else {
            Err(error(&answer, SnapshotError::NoSuchSnapshot))
        }
    }
}

/// The error in an answer; `denied` if there is no snapshot.
pub(super) fn error(answer: &Answer, denied: SnapshotError) -> SnapshotError {
    match answer.verdict {
        bridge::ANSWER_OBSTACLE => hindered(answer.obstacle()),
        bridge::ANSWER_FAILED => SnapshotError::Failed {
            doing: "speaking to the launcher",
            errno: answer.number,
        },
        bridge::ANSWER_NOT_LIVE => SnapshotError::NotTheLiveProcess,
        _ => denied,
    }
}

/// The error for an obstacle.
pub(in crate::library) fn hindered(obstacle: Option<Obstacle>) -> SnapshotError {
    match obstacle {
        Some(Obstacle::Unparked(thread)) => SnapshotError::Thread {
            tid: thread.tid,
            doing: thread.why.doing(),
        },
        Some(Obstacle::TooManyThreads(most)) => SnapshotError::TooManyThreads(most),
        Some(Obstacle::Libc(disagreement)) => SnapshotError::Libc {
            what: disagreement.what(),
        },
        Some(Obstacle::Failed(step, errno)) => SnapshotError::Failed {
            doing: step.doing(),
            errno,
        },
        None => SnapshotError::Refused,
    }
}

/// What survives a revert, of whoever keeps the snapshots.
///
/// # Errors
/// If there is no memory for it.
pub(super) fn notices() -> Result<&'static Notices, SnapshotError> {
    let missing = SnapshotError::Failed {
        doing: "reaching what survives a revert",
        errno: libc::ENOMEM,
    };
    match Agent::here() {
        Some(agent) => {
            let address = agent.call(bridge::CALL_NOTICES, 0, "").address;
            let notices = std::ptr::with_exposed_provenance::<Notices>(address);
            // SAFETY: null, or mapped by the agent as long as this process and its copies live.
            unsafe { notices.as_ref() }.ok_or(missing)
        }
        None => alone::notices().ok_or(missing),
    }
}
