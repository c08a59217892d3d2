//! What `doctor` reports of a process. The names of the fields are a contract with scripts,
//! like those of events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// What a take of a process would promise, by what it has now.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Which process.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: u32,
    /// Its session, if it is in one of this user's.
    pub session: Option<InSession>,
    /// Whether its executable can be launched in a session: outside of one, no snapshot can be
    /// taken.
    pub executable: Launchable,
    /// Its threads, without the kernel's own.
    pub threads: usize,
    /// Its children.
    pub children: usize,
    /// Its resident memory.
    pub rss_bytes: u64,
    /// What would refuse a take.
    pub refused: Vec<Refused>,
    /// What would stay as the dead branch left it.
    pub not_rolled_back: Vec<Lost>,
    /// What would come back.
    pub rolled_back: Vec<Item>,
    /// What the process does with the trigger itself, and what that means.
    pub trigger: Option<String>,
    /// How many processes we may not look into: what they share with it is unknown.
    pub unseen_processes: u32,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InSession {
    /// Its name.
    pub name: String,
    /// Its launcher.
    pub launcher_pid: i32,
    /// What the process is in it.
    pub role: Role,
}

/// What a process is in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The live program.
    Program,
    /// The launcher.
    Launcher,
    /// A frozen copy.
    Snapshot,
}

/// What would come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `file`, `socket`, `pipe`, ...
    pub kind: &'static str,
    /// Its descriptor, if it has one.
    pub fd: Option<i32>,
    /// Which one.
    pub what: String,
}

/// What would not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Which one.
    #[serde(flatten)]
    pub item: Item,
    /// Why not.
    pub why: Cow<'static, str>,
}

/// What would refuse a take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Which one.
    #[serde(flatten)]
    pub item: Item,
    /// Why.
    pub why: &'static str,
    /// The next step.
    pub help: &'static str,
}

impl Inspection {
    /// What would come back, by kind: each with its descriptors.
    pub fn rolled_back_by_kind(&self) -> BTreeMap<&'static str, Vec<&Item>> {
        let mut kinds: BTreeMap<&'static str, Vec<&Item>> = BTreeMap::new();
        for item in &self.rolled_back {
            kinds.entry(item.kind).or_default().push(item);
        }
        kinds
    }
}

/// Whether a program can be launched in a session.
#[derive(Debug, Serialize)]
pub struct Launchable {
    /// Which one it is.
    pub path: Option<PathBuf>,
    /// Why it can't be.
    pub cause: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}
