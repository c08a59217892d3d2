//! What a program learns from a snapshot: where it is now, and what a revert brings back.
//!
//! Context: IN-PROCESS.

use std::time::Duration;

use crate::terms::{Ended, SnapshotId};

/// Where execution is after a snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// In the live process: the snapshot exists.
    Live(SnapshotId),
    /// In the revived snapshot: the branch that followed it has ended.
    Reverted(Report),
}

/// What a revived snapshot knows of the branch before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// This snapshot.
    pub id: SnapshotId,
    /// How the branch ended.
    pub ended: Ended,
    /// The time from the branch's end, or from the request for it, to here.
    pub latency: Duration,
    /// How many kernel objects (file offsets, timers) could not be put back.
    pub not_restored: u32,
    /// What comes back.
    pub rollback: Rollback,
}

/// Who keeps this program's snapshots, and so what a revert brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rollback {
    /// A launcher. The live process keeps its pid, children and timers on a take, and Ctrl+C, a
    /// crash or a kill never reaches a snapshot.
    Session,
    /// The library alone: memory, threads, file offsets, timers and terminal settings come
    /// back. Every snapshot gives the live process and its threads new ids.
    Alone,
}

/// Where the time of the last snapshot went.
///
/// The time before [`Phases::park`] is not in here: the request's way to the program's first
/// thread and to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Phases {
    /// Every thread was stopped.
    pub park: Duration,
    /// What a copy lacks was recorded: timers, pending signals.
    pub record: Duration,
    /// The process was copied, as `fork()` does.
    pub split: Duration,
    /// The copy recorded what it shares, and the supervisor looked for what won't roll back. In
    /// a program alone: the threads were made again.
    pub complete: Duration,
    /// The threads were released.
    pub release: Duration,
    /// From the release until the last thread ran the program's code again.
    pub leave: Duration,
}
