//! The facts of a snapshot, made once, at the end of its take. The timeline carries them;
//! events, lists and reports read them there.

use serde::{Deserialize, Serialize};

/// What asked for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The trigger signal.
    Signal,
    /// The prefix key.
    Key,
    /// A second terminal.
    Command,
    /// The library.
    Api,
    /// `--every`.
    Timer,
    /// `--at-start`.
    Start,
}

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// `#1`, `#2`, ...
    pub id: u32,
    /// The label that the user gave.
    pub label: Option<String>,
    /// What asked for it.
    pub trigger: Trigger,
    /// From the request until the program ran again.
    pub latency_us: u64,
    /// Threads of the program.
    pub threads: u32,
    /// Resident memory of the program when it was taken.
    pub rss_bytes: u64,
}

impl SnapshotFacts {
    /// `#3`, or `#3 "before the merge"`.
    pub fn title(&self) -> String {
        match &self.label {
            Some(label) => format!("#{} \"{label}\"", self.id),
            None => format!("#{}", self.id),
        }
    }
}
