//! Commit, drop, and every other way in which a snapshot leaves the timeline.

use nix::libc;
use snapshot_core::terms::SnapshotId;
use snapshot_core::wire::ToFrozen;

use crate::supervisor::{
    aspects::{files::Committing, keepers, list::Kept},
    snapshot::Snapshot,
    state::{Phase, Supervisor},
};
use crate::talk::{
    control::Answer,
    event::{Event, Trigger},
};

impl Supervisor {
    /// How many snapshots there are, the one that is being taken included.
    fn snapshots_left(&self) -> usize {
        self.timeline.count() + usize::from(matches!(self.phase, Phase::Taking(_)))
    }

    /// Removes a snapshot from the timeline. Every removal comes through here, so that no
    /// aspect keeps anything for it. The caller ends its copy.
    pub(crate) fn forget(&mut self, id: SnapshotId) -> Option<Snapshot> {
        let snapshot = self.timeline.remove(id)?;
        let left = self.snapshots_left();
        self.aspects.forget(&snapshot.kept, left);
        if left == 0 {
            self.aspects.children.notices().committed();
        }
        Some(snapshot)
    }

    /// A take has failed: undoes what the aspects have recorded.
    pub(crate) fn undo_take(&mut self, kept: Option<&Kept>) {
        let left = self.snapshots_left();
        match kept {
            Some(kept) => self.aspects.undo(kept, left),
            // The keeper may be there already.
            None => self.aspects.keepers.end_needless(left),
        }
    }

    /// Drops one snapshot, for a person or the program.
    pub(crate) fn drop_snapshot(&mut self, id: SnapshotId) -> Option<Event> {
        let snapshot = self.forget(id)?;
        self.end_snapshot(snapshot);
        let event = Event::Dropped { id: id.number() };
        self.event(event.clone());
        Some(event)
    }

    /// Drops every snapshot, and reports that. False if there is none.
    pub(crate) fn commit(&mut self, token: Option<u64>) -> bool {
        let dropped = self.ids();
        if dropped.is_empty() {
            return false;
        }
        let commit = Committing { dropped, token };
        // The journal counts the files before it forgets them.
        let unasked = self.aspects.files.commit(commit.clone());
        for id in &commit.dropped {
            match self.forget(SnapshotId::new(*id)) {
                Some(snapshot) if self.live.is_alive() => self.end_snapshot(snapshot),
                // The session ends: nobody waits for the memory, and a keeper would pass for a
                // process of the program's.
                Some(snapshot) => self.end_copy(snapshot.child),
                None => {}
            }
        }
        if let Some(commit) = unasked {
            self.report_commit(commit, 0);
        }
        true
    }

    /// A commit is done.
    pub(super) fn report_commit(&mut self, commit: Committing, files: u64) {
        let Committing { dropped, token } = commit;
        let event = Event::Committed { dropped, files };
        self.event(event.clone());
        self.answer(token, Answer::Done(event));
    }

    /// Drops automatic snapshots over the limit.
    pub(crate) fn drop_oldest_automatic(&mut self) {
        let automatic: Vec<SnapshotId> = self
            .timeline
            .iter()
            .filter(|(_, snapshot)| snapshot.facts.trigger == Trigger::Timer)
            .map(|(id, _)| id)
            .collect();
        let wanted = usize::try_from(self.config.keep_last).unwrap_or(usize::MAX);
        let surplus = automatic.len().saturating_sub(wanted);
        for id in automatic.into_iter().take(surplus) {
            self.drop_snapshot(id);
        }
    }

    /// Ends the frozen copy of a snapshot that has been forgotten.
    pub(crate) fn end_snapshot(&mut self, snapshot: Snapshot) {
        if !keepers::is_large(snapshot.facts.rss_bytes) {
            self.end_copy(snapshot.child);
            return;
        }
        snapshot.link.say(&ToFrozen::Retire);
        // A stopped copy would not hear that.
        if snapshot.child.signal(libc::SIGCONT) {
            self.dying.insert(snapshot.child.pid());
            self.aspects
                .keepers
                .wait_for_retiring(snapshot.child, snapshot.link);
        }
    }

    /// A process has been reaped. True if it was a keeper.
    pub(crate) fn keeper_ended(&mut self, pid: i32) -> bool {
        let Some(link) = self.aspects.keepers.has_retired(pid) else {
            return self.aspects.keepers.has_ended(pid);
        };
        if let Some(sender) = link.hear_last_words().keeper {
            let keeper = self.first_heard(sender);
            self.aspects.keepers.begun_by_dead(keeper.ok());
        }
        false
    }

    /// The live process's keeper has begun, if there was none.
    pub(crate) fn keeper_has_begun(&mut self, sender: i32) {
        if !self.aspects.keepers.has_live()
            && let Ok(keeper) = self.first_heard(sender)
        {
            self.aspects.keepers.begun(keeper);
            // Else the take, the revert or the end decides.
            if self.is_running() {
                let left = self.snapshots_left();
                self.aspects.keepers.end_needless(left);
            }
        }
    }
}
