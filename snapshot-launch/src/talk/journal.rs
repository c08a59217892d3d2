//! What the supervisor and its journal say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{event::NotRolledBack, file_changes::FileChanges};

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToJournal {
    /// The session's calls are reported here: the listener comes with the message.
    Listen {
        /// The program may have restricted itself before.
        is_restricted: bool,
    },
    /// In the place of a journal that was killed: these snapshots, oldest first, have no files
    /// from before.
    GoOn { ids: Vec<u32>, processes: Vec<i32> },
    /// The program's write functions look into the memory that comes with the message: it says
    /// which files are guarded.
    Guards,
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
        /// Also what others have changed.
        force: bool,
    },
    /// The snapshot is forgotten. What the one below needs of it goes there.
    Drop { id: u32 },
    /// Asks what differs between a snapshot and a later one, or live. The answer has the token.
    Diff {
        token: u64,
        from: u32,
        to: Option<u32>,
        with_text: bool,
    },
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

impl Counts {
    /// Whether a person may have to wait for it.
    pub(crate) fn may_last(self) -> bool {
        self.files >= 1000 || self.bytes >= 1 << 26
    }
}

/// From the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromJournal {
    /// The level of a snapshot has begun.
    Begun {
        id: u32,
        not_rolled_back: Vec<NotRolledBack>,
    },
    /// It begins to put back so much, back to this snapshot. Not said where that takes no time.
    Reverts(Counts),
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
    /// It has made a directory of its own, which its successor may find something in.
    Store(PathBuf),
    /// What differs.
    Differs { token: u64, changes: FileChanges },
    /// A message for a person.
    Note(String),
}
