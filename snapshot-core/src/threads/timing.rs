//! Where the time of a take goes: a few moments, recorded as they pass.
//!
//! Context: AS-SAFE. Written by the thread that has the turn, and by the last thread that
//! leaves; read at any time, when a torn set of moments is no harm.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

/// A moment of a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The first thread has begun.
    Begun = 0,
    /// Every thread stands still.
    Parked = 1,
    /// What a copy lacks has been recorded.
    Recorded = 2,
    /// The copy is made.
    Split = 3,
    /// The copy has recorded what it shares, and the supervisor has said go.
    Complete = 4,
    /// The threads have been released.
    Released = 5,
    /// The last of them has left its handler.
    Out = 6,
}

const MOMENTS: usize = 7;

static AT: [AtomicU64; MOMENTS] = [const { AtomicU64::new(0) }; MOMENTS];

/// Records this moment.
pub(crate) fn mark(moment: Moment) {
    AT[moment as usize].store(sys::now_ns(), Ordering::Relaxed);
}

/// The phases of this process's last take, in nanoseconds, in the order of [`PHASES`]; zeros if
/// there was none.
pub fn phases_ns() -> [u64; PHASES] {
    let at = |moment: usize| AT[moment].load(Ordering::Relaxed);
    core::array::from_fn(|phase| at(phase + 1).saturating_sub(at(phase)))
}

/// How many phases there are: park, record, split, complete, release, and leaving.
pub const PHASES: usize = MOMENTS - 1;
