//! What the supervisor and its journal say to each other.

use serde::{Deserialize, Serialize};

use super::event::NotRolledBack;

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToJournal {
    /// The session's calls are reported here: the listener comes with the message.
    Listen {
        /// The program may have restricted itself before.
        is_restricted: bool,
    },
    /// The program stands still: what it changes from now on belongs to this snapshot.
    Begin {
        id: u32,
        /// The processes whose open files may be written to: the live one first.
        processes: Vec<i32>,
    },
    /// All writers are gone: puts back what has changed since this snapshot.
    Revert {
        id: u32,
        /// The snapshot's copy, if the snapshot stays: the program goes on with what that has
        /// open.
        kept: Option<i32>,
    },
    /// The snapshot is forgotten. What the one below needs of it goes there.
    Drop { id: u32 },
    /// All snapshots are forgotten.
    Commit,
    /// How much could each snapshot bring back?
    Count,
}

/// What one snapshot could bring back of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Its number.
    pub(crate) id: u32,
    /// How many have changed since.
    pub(crate) files: u64,
    /// What is kept between it and the next snapshot.
    pub(crate) bytes: u64,
}

/// From the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromJournal {
    /// The level of a snapshot has begun.
    Begun {
        id: u32,
        not_rolled_back: Vec<NotRolledBack>,
    },
    /// The files are as they were.
    Reverted {
        id: u32,
        /// How many files and directories had changed.
        changed: u64,
        /// What could not be put back, in words.
        notes: Vec<String>,
    },
    /// All levels are forgotten; so many files had changed.
    Committed { files: u64 },
    /// For each snapshot, oldest first.
    Counts(Vec<Counts>),
    /// A message for a person.
    Note(String),
}
