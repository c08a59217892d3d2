//! Keepers at each act: who begins, and whose turn it is to end.

use crate::supervisor::{aspects, snapshot::Snapshot, state::Supervisor};
use nix::libc;
use snapshot_core::wire::FromSupervisor;

impl Supervisor {
    /// A process has been reaped. True if it was a keeper.
    pub(in crate::supervisor) fn keeper_ended(&mut self, pid: i32) -> bool {
        let Some(link) = self.keepers.has_retired(pid) else {
            return self.keepers.has_ended(pid);
        };
        if let (Some(sender), _) = link.hear_of_keeper() {
            let keeper = self.first_heard(sender);
            self.keepers.begun_by_dead(keeper.ok());
        }
        false
    }

    /// The keeper of the live process says that it is there; there was none.
    pub(in crate::supervisor) fn keeper_has_begun(&mut self, sender: i32) {
        if !self.keepers.has_live()
            && let Ok(keeper) = self.first_heard(sender)
        {
            self.keepers.begun(keeper);
            self.end_needless_keeper();
        }
    }

    /// Ends the live process's keeper where there is no snapshot to go back to, nor will be in
    /// a moment.
    pub(in crate::supervisor) fn end_needless_keeper(&mut self) {
        if self.timeline.depth() == 0 && self.is_running() {
            self.keepers.end_live();
        }
    }

    /// Ends the frozen copy of a snapshot that is none any more.
    pub(crate) fn end_snapshot(&mut self, snapshot: Snapshot) {
        if !aspects::keepers::is_large(snapshot.facts.rss_bytes) {
            self.end_copy(snapshot.child);
            return;
        }
        snapshot.link.say(&FromSupervisor::Retire);
        // One that was stopped would not hear it.
        if snapshot.child.signal(libc::SIGCONT) {
            self.dying.insert(snapshot.child.pid());
            self.keepers
                .wait_for_retiring(snapshot.child, snapshot.link);
        }
    }
}
