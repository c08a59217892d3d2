//! What is known of a snapshot: made once, at the end of its take. The timeline carries it;
//! events, lists and reports read it there.

use serde::{Deserialize, Serialize};

/// How a snapshot was asked for.
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
    /// What the user called it.
    pub label: Option<String>,
    /// How it was asked for.
    pub trigger: Trigger,
    /// From the request to the program running again.
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
