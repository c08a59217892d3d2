//! What a program hears of a snapshot: where it has arrived, and what a revert brings back.
//!
//! Context: IN-PROCESS.

use std::time::Duration;

use crate::terms::{Ended, SnapshotId};

/// Where execution has arrived after a snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// In the live process: the snapshot is there.
    Live(SnapshotId),
    /// In the snapshot, come back to life: the branch that followed it has ended.
    Reverted(Report),
}

/// What a revived snapshot knows of the branch before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The snapshot that this is.
    pub id: SnapshotId,
    /// How the branch ended.
    pub ended: Ended,
    /// From the branch's end, or the request to end it, to here.
    pub latency: Duration,
    /// How many kernel objects (file offsets, timers) could not be put back.
    pub not_restored: u32,
    /// What was promised.
    pub rollback: Rollback,
}

/// Who keeps the snapshots of this program, and so what a revert brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rollback {
    /// A launcher: the live process keeps its pid on take, its children and its timers,
    /// and Ctrl+C, a crash or a kill of it never reaches a snapshot.
    Session,
    /// The library alone: memory, threads, file offsets, timers and the terminal's
    /// settings. The live process gets a new pid, and its threads new ids, with every
    /// snapshot.
    Alone,
}

/// Where the time of the last snapshot went.
///
/// Between asking and [`Phases::park`] lies the way to the program's first thread and to
/// the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Phases {
    /// Every thread was stopped.
    pub park: Duration,
    /// What a copy lacks was recorded: timers, pending signals.
    pub record: Duration,
    /// The process was copied, as `fork()` does.
    pub split: Duration,
    /// The copy recorded what it shares, the supervisor looked for what won't roll back.
    /// In a program alone: the threads were made again.
    pub complete: Duration,
    /// The threads were told to go on.
    pub release: Duration,
    /// From then until the last of them ran the program's code again.
    pub leave: Duration,
}
