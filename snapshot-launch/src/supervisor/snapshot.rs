//! A snapshot of the timeline.

use crate::processes::{child::Child, family::Process};
use crate::supervisor::{
    aspects::{children::Standing, screen::Screen},
    links::AgentLink,
    refusal::filters::Filters,
};
use crate::talk::facts::SnapshotFacts;
use snapshot_core::process::children::Place;
use std::collections::{HashMap, HashSet};

/// A snapshot of the timeline.
pub(crate) struct Snapshot {
    pub(crate) child: Child,
    /// The same as everybody outside sees it.
    pub(crate) outer_pid: i32,
    /// The number that the live process had, and the one that it was known by outside.
    pub(crate) live_pid: i32,
    pub(crate) live_outer_pid: i32,
    pub(crate) link: AgentLink,
    pub(crate) facts: SnapshotFacts,
    pub(crate) taken_ns: u64,
    /// The numbers of all its threads but the first.
    pub(crate) numbers: Vec<i32>,
    pub(crate) screen: Option<Screen>,
    /// What the program had started by that moment: a revert leaves it alone.
    pub(crate) family: HashSet<Process>,
    /// Its children: by birth, and adopted and not waited for.
    pub(crate) children: Vec<Place>,
    /// Of system calls, as the program had set them.
    pub(crate) filters: Filters,
    /// How those of them stood that were stopped.
    pub(crate) standings: HashMap<Place, Standing>,
}
