//! A snapshot of the timeline.

use crate::processes::child::Child;
use crate::supervisor::{aspects::list::Kept, links::AgentLink, live::Origin};
use crate::talk::facts::SnapshotFacts;
use snapshot_core::wire::Frozen;

/// A snapshot of the timeline.
pub(crate) struct Snapshot {
    /// The frozen copy.
    pub(crate) child: Child,
    /// Its number outside the namespace.
    pub(crate) outer_pid: i32,
    pub(crate) link: AgentLink<Frozen>,
    pub(crate) facts: SnapshotFacts,
    pub(crate) taken_ns: u64,
    /// The process that it was made of.
    pub(crate) origin: Origin,
    /// What the aspects keep with it.
    pub(crate) kept: Kept,
}
