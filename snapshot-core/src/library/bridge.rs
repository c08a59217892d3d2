//! The one function that the preloaded agent exports. A program's own copy of this library
//! calls it.
//!
//! The two may be of different builds, so they exchange plain C data, and the symbol's name
//! carries the version.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use crate::terms::Obstacle;
use crate::wire::{FromTaker, LISTED, MESSAGE_BYTES, Message};

/// The symbol to look for: an `extern "C" fn(*const Call, *mut Answer)`.
pub const SYMBOL: &CStr = c"cargo_snapshot_agent_v3";

/// The type of the exported function.
pub type Entry = unsafe extern "C" fn(*const Call, *mut Answer);

/// A call of the library to the agent.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// One of the `CALL_*` numbers.
    pub verb: u32,
    /// The snapshot, or 0 for the newest.
    pub id: u32,
    /// The label's bytes, UTF-8; may be null if the length is 0.
    pub label: *const u8,
    /// Their number.
    pub label_length: usize,
}

/// Take a snapshot.
pub const CALL_TAKE: u32 = 1;
/// Revert. Returns only on failure.
pub const CALL_REVERT: u32 = 2;
/// Drop every snapshot.
pub const CALL_COMMIT: u32 = 3;
/// Forget one snapshot.
pub const CALL_DROP: u32 = 4;
/// List the snapshots.
pub const CALL_LIST: u32 = 5;

/// Where the time of the last take went: [`crate::threads::timing::PHASES`] numbers of
/// microseconds in [`Answer::ids`].
pub const CALL_PHASES: u32 = 6;

/// Where the program's [`crate::process::notices::Notices`] are: in [`Answer::address`].
pub const CALL_NOTICES: u32 = 7;

/// Whether reverts leave memory wiped that is marked to be wiped in copies: 1, or 0 for what the session
/// was started with, in [`Call::id`]. It holds for the snapshots that are taken from then on.
pub const CALL_RESEEDS: u32 = 8;

/// The answer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// One of the `ANSWER_*` numbers.
    pub verdict: u32,
    /// The snapshot taken or revived.
    pub id: u32,
    /// With [`ANSWER_REVIVED`]: 0 exited, 1 killed, 2 reverted, 3 interrupted.
    pub ended: u32,
    /// The exit code or the signal; with [`ANSWER_FAILED`] the errno.
    pub number: i32,
    /// With [`ANSWER_REVIVED`] how many things could not be put back; with [`ANSWER_LIST`] the
    /// depth.
    pub count: u32,
    /// From the revert's cause to here, nanoseconds.
    pub latency_ns: u64,
    /// The snapshots, oldest first.
    pub ids: [u32; LISTED],
    /// With [`CALL_NOTICES`]: an address in the calling process; 0 if there are none.
    pub address: usize,
    /// With [`ANSWER_OBSTACLE`] the obstacle, encoded as for the supervisor.
    pub hindrance: [u8; MESSAGE_BYTES],
}

impl Answer {
    /// An answer to fill in.
    pub const EMPTY: Self = Self {
        verdict: ANSWER_DENIED,
        id: 0,
        ended: 0,
        number: 0,
        count: 0,
        latency_ns: 0,
        ids: [0; LISTED],
        address: 0,
        hindrance: [0; MESSAGE_BYTES],
    };

    /// The answer for an obstacle.
    pub fn hindered(obstacle: Obstacle) -> Self {
        Self {
            verdict: ANSWER_OBSTACLE,
            hindrance: FromTaker::Hindered(obstacle).encode(),
            ..Self::EMPTY
        }
    }

    /// The obstacle; `None` if the agent's build is newer and knows more.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match FromTaker::decode(&self.hindrance) {
            Some(FromTaker::Hindered(obstacle)) => Some(obstacle),
            _ => None,
        }
    }
}

/// The supervisor said no, or has no such snapshot.
pub const ANSWER_DENIED: u32 = 0;
/// Taken; this is the live process.
pub const ANSWER_LIVE: u32 = 1;
/// This is the snapshot, revived.
pub const ANSWER_REVIVED: u32 = 2;
/// An obstacle prevents it.
pub const ANSWER_OBSTACLE: u32 = 3;
/// The supervisor can't be reached.
pub const ANSWER_FAILED: u32 = 4;
/// Done, and these are the snapshots.
pub const ANSWER_LIST: u32 = 5;
/// The calling process is a child of the program, not the live process.
pub const ANSWER_NOT_LIVE: u32 = 6;
