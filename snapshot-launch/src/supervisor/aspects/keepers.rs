//! Keepers: tasks that hold the memory of ended processes, so that nobody waits until the
//! kernel has freed it. They end when the program runs again, or just before that if there is
//! little to free.

use std::collections::HashSet;

use nix::libc;
use snapshot_core::kernel::proc_text;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::Frozen;

use super::aspect::{Aspect, Standstill};
use crate::processes::{child::Child, files};
use crate::refusal::Refusal;
use crate::supervisor::links::AgentLink;

/// From this size on a frozen copy must leave its memory to a keeper, and a branch's keeper
/// outlives the revert. Ending a smaller one takes no longer.
const LARGE_BYTES: u64 = 64 << 20;

/// How long a copy may take to end by itself.
const PATIENCE_NS: u64 = 100_000_000;

/// A frozen copy that has been asked to end.
#[derive(Debug)]
struct Retiring {
    child: Child,
    link: AgentLink<Frozen>,
    deadline_ns: u64,
}

/// The keepers of a session.
#[derive(Debug, Default)]
pub(crate) struct Keepers {
    /// The live process's.
    live: Option<Child>,
    /// Those of ended processes, until the program runs again.
    of_dead: Vec<Child>,
    /// Killed ones, while the kernel frees their memory.
    leaving: HashSet<i32>,
    retiring: Vec<Retiring>,
}

impl Keepers {
    /// Whether the live process has one.
    pub(crate) fn has_live(&self) -> bool {
        self.live.is_some()
    }

    /// The live process has one now.
    pub(crate) fn begun(&mut self, keeper: Child) {
        self.live = Some(keeper);
    }

    /// Without a snapshot to revert to, nobody waits for the live process's memory.
    pub(crate) fn end_needless(&mut self, left: usize) {
        if left == 0 {
            self.end_live();
        }
    }

    /// All keepers: none is the program's.
    pub(crate) fn pids(&self) -> impl Iterator<Item = i32> {
        self.live
            .iter()
            .chain(&self.of_dead)
            .map(Child::pid)
            .chain(self.leaving.iter().copied())
    }

    /// Ends the live process's keeper. That frees no memory: the process still has it.
    pub(crate) fn end_live(&mut self) {
        if let Some(keeper) = self.live.take() {
            self.end(&keeper);
        }
    }

    /// The program runs again, or never will.
    pub(crate) fn end_those_of_dead(&mut self) {
        for keeper in std::mem::take(&mut self.of_dead) {
            // Nobody waits for the freed memory.
            keeper.lower_priority();
            self.end(&keeper);
        }
    }

    pub(crate) fn end(&mut self, keeper: &Child) {
        if keeper.signal(libc::SIGKILL) {
            self.leaving.insert(keeper.pid());
        }
    }

    /// A frozen copy has been asked to end, and leaves its memory to a keeper.
    pub(crate) fn wait_for_retiring(&mut self, child: Child, link: AgentLink<Frozen>) {
        self.retiring.push(Retiring {
            child,
            link,
            deadline_ns: now_ns() + PATIENCE_NS,
        });
    }

    /// The keeper of a copy that has ended.
    pub(crate) fn begun_by_dead(&mut self, keeper: Option<Child>) {
        self.of_dead.extend(keeper);
    }

    /// A frozen copy that was asked to end has been reaped: returns its link.
    pub(crate) fn has_retired(&mut self, pid: i32) -> Option<AgentLink<Frozen>> {
        let at = self
            .retiring
            .iter()
            .position(|copy| copy.child.pid() == pid)?;
        Some(self.retiring.swap_remove(at).link)
    }

    /// A process has been reaped. True if it was a keeper.
    pub(crate) fn has_ended(&mut self, pid: i32) -> bool {
        if self.live.take_if(|keeper| keeper.pid() == pid).is_some() {
            return true;
        }
        let before = self.of_dead.len();
        self.of_dead.retain(|keeper| keeper.pid() != pid);
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
                copy.child.signal(libc::SIGKILL);
                copy.deadline_ns = u64::MAX;
            }
        }
    }
}

impl Aspect for Keepers {
    type Kept = ();

    fn take(&mut self, _still: &mut Standstill<'_>, _earlier: &[&()]) -> Result<(), Refusal> {
        Ok(())
    }

    fn branch_ends(&mut self) {
        self.of_dead.extend(self.live.take());
    }

    /// A keeper also holds the branch's mappings, and their locks and seals last until it ends.
    /// A keeper with little memory ends while the copy wakes.
    fn waking(&mut self) {
        let dead = std::mem::take(&mut self.of_dead);
        let (small, large) = dead.into_iter().partition(is_small);
        self.of_dead = large;
        for keeper in small {
            self.end(&keeper);
        }
    }

    fn settled(&mut self) {
        self.end_those_of_dead();
    }

    fn forget(&mut self, (): &(), left: usize) {
        self.end_needless(left);
    }

    fn session_ends(&mut self) {
        self.end_live();
        self.end_those_of_dead();
    }
}

/// Whether a copy of this size must leave its memory to a keeper.
pub(crate) const fn is_large(rss_bytes: u64) -> bool {
    rss_bytes >= LARGE_BYTES
}

fn is_small(keeper: &Child) -> bool {
    let status = files::bytes(format!("/proc/{}/status", keeper.pid()));
    !is_large(proc_text::resident_bytes(&status.unwrap_or_default()))
}
