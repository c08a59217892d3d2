//! The session that snapshots are taken in, the request for a take, and how the take went.
//!
//! Context: AS-SAFE.

use crate::sys::{SignalInfo, SignalSet};
use crate::terms::{Ask, Ended, InterruptedCall, Obstacle, Text};

/// What somebody asks of a take.
#[derive(Debug, Clone, Copy)]
pub struct TakeRequest {
    /// Who asks.
    pub ask: Ask,
    /// Since when, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// What to call it.
    pub label: Text,
}

/// The session that a snapshot is taken in.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Where the supervisor listens.
    pub name: &'static [u8],
    /// The trigger: may be open during a take, so that more requests are counted, and is
    /// blocked while the copy is made.
    pub trigger: SignalSet,
    /// Signals that may be the session's own business.
    pub kept: SignalSet,
    /// Whether one of those, which waits, is the session's business alone: it is not in the
    /// snapshot then.
    pub is_kept: fn(&SignalInfo) -> bool,
    /// Memory that asks to be wiped in copies is wiped in one that comes back to life, too.
    pub reseed: bool,
    /// Runs in a copy that has come back to life, before any thread of the program does,
    /// with the pid that it has now.
    pub revived: fn(i32),
}

/// How a take went, seen from the code that asked for it.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// This is the live process, and the snapshot is there.
    Live {
        /// The snapshot's number.
        id: u32,
    },
    /// This is the snapshot, come back to life.
    Revived {
        /// The snapshot's number.
        id: u32,
        /// When the revert was asked for, or the branch died, on CLOCK_MONOTONIC.
        asked_ns: u64,
        /// How the branch before ended.
        ended: Ended,
        /// How many recorded things could not be put back.
        not_restored: u32,
    },
    /// There is no snapshot; the program goes on.
    Refused(Option<Obstacle>),
}

/// An outcome, and what is known of the interrupted first thread: the supervisor has
/// looked at it before it sent its signal.
pub type Taken = (Outcome, InterruptedCall);
