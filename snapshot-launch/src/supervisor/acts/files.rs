//! What the journal says, and the steps of takes and reverts that wait for it.

use snapshot_core::terms::SnapshotId;

use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::reverting::FilesAre,
};
use crate::talk::{
    control::Answer,
    event::NotRolledBack,
    journal::{Counts, FromJournal},
};

impl Supervisor {
    /// The journal speaks.
    pub(crate) fn hear_journal(&mut self) {
        while let Some(message) = self.aspects.files.hear() {
            match message {
                FromJournal::Note(text) => self.note(text),
                FromJournal::Begun {
                    id,
                    not_rolled_back,
                } => self.level_has_begun(SnapshotId::new(id), not_rolled_back),
                FromJournal::Committed { files } => {
                    if let Some(commit) = self.aspects.files.committed() {
                        self.report_commit(commit, files);
                    }
                }
                FromJournal::Counts(counts) => self.answer_lists(&counts),
                FromJournal::Reverted { id, notes, .. } => {
                    self.files_have_come_back(SnapshotId::new(id), notes);
                }
            }
        }
        if self.aspects.files.fd().is_none() {
            self.nobody_keeps_files();
        }
    }

    fn level_has_begun(&mut self, id: SnapshotId, not_rolled_back: Vec<NotRolledBack>) {
        if self.aspects.files.begun(id)
            && let Phase::Taking(taking) = &mut self.phase
        {
            taking.gaps.extend(not_rolled_back);
            self.complete_take();
        }
    }

    fn files_have_come_back(&mut self, id: SnapshotId, notes: Vec<String>) {
        for text in notes {
            self.note(text);
        }
        if let Phase::Reverting(reverting) = &mut self.phase
            && reverting.target == id
            && reverting.files == FilesAre::ComingBack
        {
            reverting.files = FilesAre::Back;
            self.clear_branch();
        }
    }

    /// Whether the journal still has to put files back. Asks it once.
    pub(super) fn waits_for_files(&mut self) -> bool {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        if reverting.files == FilesAre::Unasked {
            let copy = self.timeline.get(reverting.target);
            let kept = copy.filter(|_| reverting.keep).map(|of| of.child.pid());
            reverting.files = match self.aspects.files.put_back(reverting.target, kept) {
                true => FilesAre::ComingBack,
                false => FilesAre::Back,
            };
        }
        reverting.files == FilesAre::ComingBack
    }

    fn answer_lists(&mut self, counts: &[Counts]) {
        for token in self.aspects.files.counted() {
            self.answer(token, Answer::List(self.listing(counts)));
        }
    }

    /// A list need not wait for a journal that is busy.
    pub(crate) fn check_counting(&mut self, now: u64) {
        if self
            .aspects
            .files
            .deadline()
            .is_some_and(|until| now >= until)
        {
            self.answer_lists(&[]);
        }
    }

    /// The journal's process is gone.
    pub(crate) fn journal_has_ended(&mut self) {
        if !matches!(self.phase, Phase::Ending(_)) {
            self.note("the journal has ended, so files stay as they are: snapshots bring back everything else; what it had kept is in its store, see `cargo snapshot recover`");
        }
        self.nobody_keeps_files();
    }

    /// Nobody must wait for the journal any more.
    fn nobody_keeps_files(&mut self) {
        self.answer_lists(&[]);
        while let Some(commit) = self.aspects.files.committed() {
            self.report_commit(commit, 0);
        }
        match &mut self.phase {
            Phase::Taking(_) => self.complete_take(),
            Phase::Reverting(reverting) if reverting.files == FilesAre::ComingBack => {
                reverting.files = FilesAre::Back;
                self.clear_branch();
            }
            _ => {}
        }
    }
}
