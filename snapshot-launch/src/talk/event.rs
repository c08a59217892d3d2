//! The events of a session, for `--events` and `--json`.
//!
//! The field names are the tool's contract with scripts: they change only with a major version.
//! Process ids are those where the launcher runs.

use std::path::PathBuf;

use super::facts::SnapshotFacts;
pub use super::facts::Trigger;

pub use super::refusal::Refusal;
use serde::{Deserialize, Serialize};
use snapshot_core::Ended;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The program runs.
    Started {
        /// The session's name.
        session: String,
        /// The launcher.
        launcher_pid: i32,
        /// The program.
        live_pid: i32,
        /// Which ids the program has after a revert.
        tier: Tier,
        /// Which files roll back.
        files: Files,
    },
    /// A snapshot was taken.
    Taken(Taken),
    /// A request for a snapshot was refused; the program goes on untouched.
    Refused(Refused),
    /// A live branch ended.
    Ended(BranchEnded),
    /// A commit: the branch is final.
    Reverted(Reverted),
    /// The live branch is the truth.
    Committed {
        /// The dropped snapshots.
        dropped: Vec<u32>,
        /// How many files were merged.
        files: u64,
    },
    /// One snapshot was forgotten, or was lost to a signal from outside.
    Dropped {
        /// Which.
        id: u32,
    },
    /// The session is over.
    Finished {
        /// The program's exit code.
        code: Option<i32>,
        /// The signal it died of.
        signal: Option<i32>,
    },
    /// Events had no room here, since their reader was slow or the disk full. In the events
    /// file alone.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The ids of the program after a revert. Says nothing of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The same ids.
    Full,
    /// New ids.
    IdsDiffer,
}

/// Which files roll back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Files {
    /// All that the program may write.
    All,
    /// None: their contents stay as the branch leaves them.
    None,
    /// Those in these directories.
    #[serde(untagged)]
    Trees(Vec<PathBuf>),
}

/// A snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its facts.
    #[serde(flatten)]
    pub facts: SnapshotFacts,
    /// How many snapshots lie under the live process now.
    pub depth: u32,
    /// Where the time went, if `--moments` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments_ns: Option<Moments>,
    /// What a revert will not bring back.
    pub not_rolled_back: Vec<NotRolledBack>,
}

/// The moments of a take in their order, in nanoseconds of CLOCK_MONOTONIC; 0 if one did not
/// occur: no signal is sent to a program that asks by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// The request reached the session: the launcher, if a signal was sent to it.
    pub asked: u64,
    /// The supervisor had the request, and the program was free to be asked.
    pub heard: u64,
    /// The supervisor had looked at the program, and signalled it.
    pub signalled: u64,
    /// The program's signal handler began.
    pub entered: u64,
    /// The supervisor heard the program call.
    pub called: u64,
    /// The supervisor heard that every thread stood still. The copy is made from then on.
    pub parked: u64,
    /// It had looked for what won't roll back.
    pub looked: u64,
    /// It heard that the copy sleeps.
    pub frozen: u64,
    /// It let the program go on.
    pub go: u64,
    /// The program ran again.
    pub running: u64,
}

/// One thing that a revert will not bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRolledBack {
    /// `file`, `socket`, `pipe`, ...
    pub kind: String,
    /// Which one.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// A request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What asked for it.
    pub trigger: Trigger,
    /// Why.
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// A live branch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchEnded {
    /// The snapshot the program goes on from.
    pub id_reverted_to: u32,
    /// How, written as `how`, `code` and `signal`.
    #[serde(flatten, with = "how")]
    pub ended: Ended,
    /// Where it crashed, if known.
    pub crash: Option<Crash>,
}

/// The format of an end.
mod how {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use snapshot_core::Ended;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum How {
        Exit,
        Signal,
        Revert,
        Interrupt,
    }

    #[derive(Serialize, Deserialize)]
    struct Written {
        how: How,
        code: Option<i32>,
        signal: Option<i32>,
    }

    pub(super) fn serialize<S: Serializer>(ended: &Ended, to: S) -> Result<S::Ok, S::Error> {
        let how = match ended {
            Ended::Exited(_) => How::Exit,
            Ended::Killed(_) => How::Signal,
            Ended::Reverted => How::Revert,
            Ended::Interrupted => How::Interrupt,
        };
        let (code, signal) = (ended.code(), ended.signal());
        Written { how, code, signal }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ended, D::Error> {
        let Written { how, code, signal } = Written::deserialize(from)?;
        Ok(match how {
            How::Exit => Ended::Exited(code.ok_or_else(|| D::Error::missing_field("code"))?),
            How::Signal => Ended::Killed(signal.ok_or_else(|| D::Error::missing_field("signal"))?),
            How::Revert => Ended::Reverted,
            How::Interrupt => Ended::Interrupted,
        })
    }
}

/// Where a branch crashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    /// The address that could not be accessed.
    pub fault_address: Option<u64>,
    /// The thread.
    pub thread: Option<i32>,
    /// Its frames.
    pub backtrace: Vec<String>,
}

/// The program goes on from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// Which.
    pub id: u32,
    /// How many snapshots lie under the live process now.
    pub depth: u32,
    /// Whether the snapshot stays for another try.
    pub kept: bool,
    /// The program's pid.
    pub live_pid: i32,
    /// From the request, or the death, until the revived program ran.
    pub latency_us: u64,
    /// Whether pid and tids are the same as before.
    pub same_ids: bool,
    /// The children of the snapshot that the program still has.
    pub children_kept: Vec<KeptChild>,
    /// Those that have ended since. The program learns how, if that is known.
    pub children_ended: Vec<EndedChild>,
}

/// A child that the program has kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChild {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

/// A child that has ended; without code and signal if its end is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedChild {
    /// Its process id.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal it died of.
    pub signal: Option<i32>,
}
