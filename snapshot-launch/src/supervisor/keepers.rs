//! Keepers: tasks that hold the memory of what has ended, so that nobody waits until the
//! kernel has given it back. They end when the program runs again.

use std::collections::HashSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::{FromAgent, FromSupervisor};

use super::links::{AgentLink, Heard};
use super::state::{Snapshot, Supervisor};

/// From this size on a frozen copy is asked to leave its memory to a keeper. To end a
/// smaller one takes no longer than that.
const LARGE_BYTES: u64 = 64 << 20;

/// How long a copy may take to end by itself.
const PATIENCE_NS: u64 = 100_000_000;

/// A frozen copy that has been asked to end.
#[derive(Debug)]
struct Retiring {
    pid: i32,
    link: AgentLink,
    deadline_ns: u64,
}

/// The keepers of a session.
#[derive(Debug, Default)]
pub(crate) struct Keepers {
    /// The live process's.
    live: Option<i32>,
    /// Of what has ended: kept until the program runs again.
    of_dead: Vec<i32>,
    /// Those that have been killed, and give memory back.
    leaving: HashSet<i32>,
    retiring: Vec<Retiring>,
}

impl Keepers {
    /// Whether the live process has one.
    pub(crate) fn has_live(&self) -> bool {
        self.live.is_some()
    }

    /// The live process has one now.
    pub(crate) fn begun(&mut self, pid: i32) {
        self.live = Some(pid);
    }

    /// All of them: no business of the program's.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.live
            .into_iter()
            .chain(self.of_dead.iter().copied())
            .chain(self.leaving.iter().copied())
    }

    /// The live process is being ended.
    pub(crate) fn branch_ends(&mut self) {
        self.of_dead.extend(self.live.take());
    }

    /// Ends the live process's keeper, which holds no memory that would be given back.
    pub(crate) fn end_live(&mut self) {
        if let Some(pid) = self.live.take() {
            self.end(pid);
        }
    }

    /// The program runs again, or never will.
    pub(crate) fn end_those_of_dead(&mut self) {
        for pid in std::mem::take(&mut self.of_dead) {
            self.end(pid);
        }
    }

    fn end(&mut self, pid: i32) {
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            self.leaving.insert(pid);
        }
    }

    /// A process has been reaped. True if it was a keeper.
    pub(crate) fn has_ended(&mut self, pid: i32) -> bool {
        if let Some(at) = self.retiring.iter().position(|copy| copy.pid == pid) {
            let copy = self.retiring.swap_remove(at);
            if let Heard::Message(FromAgent::Keeper { pid }) = copy.link.hear() {
                self.of_dead.push(pid);
            }
            return false;
        }
        if self.live == Some(pid) {
            self.live = None;
            return true;
        }
        let before = self.of_dead.len();
        self.of_dead.retain(|&keeper| keeper != pid);
        self.leaving.remove(&pid) || self.of_dead.len() < before
    }

    /// When to look at [`Keepers::check`] again.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.retiring.iter().map(|copy| copy.deadline_ns).min()
    }

    /// Ends the copies that have not ended by themselves.
    pub(crate) fn check(&mut self, now_ns: u64) {
        for copy in &mut self.retiring {
            if now_ns >= copy.deadline_ns {
                let _ = kill(Pid::from_raw(copy.pid), Signal::SIGKILL);
                copy.deadline_ns = u64::MAX;
            }
        }
    }
}

impl Supervisor {
    /// Ends the frozen copy of a snapshot that is none any more.
    pub(crate) fn end_snapshot(&mut self, snapshot: Snapshot) {
        if snapshot.rss_bytes < LARGE_BYTES {
            self.end_copy(snapshot.pid);
            return;
        }
        snapshot.link.say(&FromSupervisor::Retire);
        // One that was stopped would not hear it.
        if kill(Pid::from_raw(snapshot.pid), Signal::SIGCONT).is_ok() {
            self.dying.insert(snapshot.pid);
            self.keepers.retiring.push(Retiring {
                pid: snapshot.pid,
                link: snapshot.link,
                deadline_ns: now_ns() + PATIENCE_NS,
            });
        }
    }
}
