//! The processes below another one, as `/proc` shows them.
//!
//! The supervisor is a subreaper: whatever the program has started, and whatever that
//! has started, is below it, however often parents have died in between.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
    /// It has ended, and waits to be reaped.
    is_over: bool,
}

impl Process {
    /// The process that has this number now.
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold spaces and parentheses; fields are counted after its end.
        let (_, fields) = stat.rsplit_once(") ")?;
        let started = fields.split(' ').nth(19)?.parse().ok()?;
        Some(Self {
            pid,
            started,
            is_over: fields.starts_with('Z'),
        })
    }
}

/// The children of one process, those of all its threads.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// Everything below one process.
pub(crate) fn below(pid: i32) -> HashSet<Process> {
    let mut found = HashSet::new();
    let mut left = children(pid);
    while let Some(pid) = left.pop() {
        if let Some(process) = Process::of(pid)
            && !process.is_over
            && found.insert(process)
        {
            left.extend(children(pid));
        }
    }
    found
}

/// A process that was ended because its branch has ended.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) pid: i32,
    pub(crate) name: String,
}

/// Sends a signal to everything below `root` except the processes for which `keep` says
/// so, with all that is below those. Gives what got it; an empty answer means that
/// nothing is left.
pub(crate) fn signal_below(
    root: i32,
    signal: Signal,
    keep: &dyn Fn(Process) -> bool,
) -> Vec<Stray> {
    let mut found = Vec::new();
    let mut left = children(root);
    while let Some(pid) = left.pop() {
        let Some(process) = Process::of(pid) else {
            continue;
        };
        if process.is_over || keep(process) {
            continue;
        }
        left.extend(children(pid));
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if kill(Pid::from_raw(pid), signal).is_ok() {
            found.push(Stray {
                pid,
                name: name.trim_end().to_owned(),
            });
        }
    }
    found
}
