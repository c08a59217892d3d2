//! The session that snapshots are taken in, the request for a take, and how the take went.
//!
//! Context: AS-SAFE.

use crate::sys::{SignalInfo, SignalSet};
use crate::terms::{Ask, Ended, InterruptedCall, Obstacle, Text};

/// A request for a take.
#[derive(Debug, Clone, Copy)]
pub struct TakeRequest {
    /// Who asks.
    pub ask: Ask,
    /// When it was asked for, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The snapshot's label.
    pub label: Text,
}

/// The session that a snapshot is taken in.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// Where the supervisor listens.
    pub name: &'static [u8],
    /// The trigger. It may be open during a take, so that more requests are counted; it is
    /// blocked while the copy is made.
    pub trigger: SignalSet,
    /// Signals that may be the session's own business.
    pub kept: SignalSet,
    /// Whether such a pending signal is the session's business alone: then the snapshot leaves
    /// it out.
    pub is_kept: fn(&SignalInfo) -> bool,
    /// Whether memory that the program marks to be wiped in copies is wiped in a revived copy
    /// too.
    pub reseed: bool,
    /// Runs in a revived copy before any thread of the program, with its pid.
    pub revived: fn(i32),
}

/// How a take went, for the code that asked for it.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// This is the live process, and the snapshot exists.
    Live {
        /// The snapshot's number.
        id: u32,
    },
    /// This is the snapshot, revived.
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

/// An outcome, and what the supervisor has seen of the first thread before it sent its signal.
pub type Taken = (Outcome, InterruptedCall);
