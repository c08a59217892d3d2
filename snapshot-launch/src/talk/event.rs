//! What happens in a session, as `--events` writes it and `--json` prints it.
//!
//! The field names are the contract of the tool with scripts: they change only with
//! a major version. Process ids are as seen from where the launcher runs.

use super::facts::SnapshotFacts;
pub use super::facts::Trigger;
use serde::{Deserialize, Serialize};
use snapshot_core::Ended;

/// One thing that happened.
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
    /// The program goes on from a snapshot.
    Reverted(Reverted),
    /// The live branch is the truth.
    Committed {
        /// The snapshots that went.
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
    /// Events had no room here: their reader was slow, or the disk full. In the events file
    /// alone.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Which ids the program has after a revert. It says nothing of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Those that it had.
    Full,
    /// New ones.
    IdsDiffer,
}

/// Which files roll back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Files {
    /// None: their contents stay as the branch leaves them.
    None,
}

/// A snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What is known of it.
    #[serde(flatten)]
    pub facts: SnapshotFacts,
    /// How many snapshots lie under the live process now.
    pub depth: u32,
    /// Where the time went, where somebody wants to know (`--moments`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments_ns: Option<Moments>,
    /// What a revert will not bring back.
    pub not_rolled_back: Vec<NotRolledBack>,
}

/// The moments of a take in their order, in nanoseconds of CLOCK_MONOTONIC; 0 where one did not
/// pass: nobody signals a program that asks by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    /// The request reached the session: the launcher, for a signal that was sent to it.
    pub asked: u64,
    /// The supervisor heard of it, and the program could be asked.
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
    /// It told the program to go on.
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
    /// How it was asked for.
    pub trigger: Trigger,
    /// One word for scripts.
    pub kind: String,
    /// The reason.
    pub why: String,
    /// The next step.
    pub help: String,
}

/// A live branch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchEnded {
    /// The snapshot the program goes on from.
    pub id_reverted_to: u32,
    /// How: written as `how`, `code` and `signal`.
    #[serde(flatten, with = "how")]
    pub ended: Ended,
    /// Where it crashed, where that is known.
    pub crash: Option<Crash>,
}

/// How an end is written.
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
    /// The program.
    pub live_pid: i32,
    /// From the request, or the death, to the revived program running.
    pub latency_us: u64,
    /// Whether pid and tids are what they were.
    pub same_ids: bool,
    /// The children that the program had at the snapshot, and has.
    pub children_kept: Vec<KeptChild>,
    /// Those that have ended since. The program is told how, where that is known.
    pub children_ended: Vec<EndedChild>,
}

/// A child that the program has kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChild {
    /// Its process id.
    pub pid: i32,
    /// What it is called.
    pub name: String,
}

/// A child that has ended; neither code nor signal where nobody knows how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedChild {
    /// Its process id.
    pub pid: i32,
    /// What it was called.
    pub name: String,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal it died of.
    pub signal: Option<i32>,
}
