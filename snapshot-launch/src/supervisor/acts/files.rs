//! What the journal says, and the steps of takes and reverts that wait for it.

use std::collections::HashSet;

use snapshot_core::process::own_processes;
use snapshot_core::terms::SnapshotId;

use crate::processes::family;
use crate::shortage::patiently;
use crate::supervisor::{
    aspects::files::Succession,
    state::{Phase, Supervisor},
    under_way::{coming_back::ComingBack, reverting::FilesAre},
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
                // The aspect keeps it.
                FromJournal::Store(_) => {}
                FromJournal::Differs { token, mut changes } => {
                    self.aspects.files.has_compared(token);
                    changes.is_late = self
                        .aspects
                        .files
                        .lacks_older(SnapshotId::new(changes.from));
                    self.answer(Some(token), Answer::Differs(changes));
                }
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
                FromJournal::Reverts(all) => {
                    if let Phase::Reverting(reverting) = &mut self.phase {
                        reverting.coming_back.announce(all);
                    }
                }
                FromJournal::Reverted { id, notes, .. } => {
                    self.files_have_come_back(SnapshotId::new(id), notes);
                }
            }
        }
        if self.aspects.files.fd().is_none() && !self.aspects.files.expects_another() {
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
            if self.aspects.files.lacks_older(id) {
                self.note(format!("the journal was killed after {id} was taken: files are as they were when it was started again, not as they were at {id}"));
            }
            self.clear_branch();
        }
    }

    /// Asks the journal which files differ. It answers in its own time.
    pub(super) fn compare_files(
        &mut self,
        token: Option<u64>,
        from: Option<u32>,
        to: Option<u32>,
        with_text: bool,
    ) {
        let ids = self.ids();
        let unknown = [from, to]
            .into_iter()
            .flatten()
            .find(|id| !ids.contains(id));
        let from = from.or_else(|| ids.iter().max().copied());
        let (None, Some(from)) = (unknown, from) else {
            self.refuse_unknown(token, "compare files since", unknown.map(SnapshotId::new));
            return;
        };
        let Some(token) = token else { return };
        if to.is_some_and(|to| to < from) {
            let cause = format!("#{from} is the later one");
            self.refuse(
                Some(token),
                "cannot compare files",
                &cause,
                "name the earlier one first",
            );
            return;
        }
        let (from, to) = (SnapshotId::new(from), to.map(SnapshotId::new));
        if !self.aspects.files.compare(token, from, to, with_text) {
            self.refuse_to_compare(
                token,
                "no files come back in this session, so nobody knows which have changed",
            );
        }
    }

    fn refuse_to_compare(&self, token: u64, cause: &str) {
        let help = "start it without --no-files; `cargo snapshot list` shows its snapshots";
        self.refuse(Some(token), "cannot compare files", cause, help);
    }

    /// Whether the journal still has to put files back. Asks it once.
    pub(super) fn waits_for_files(&mut self) -> bool {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        if reverting.files == FilesAre::Unasked {
            let copy = self.timeline.get(reverting.target);
            let kept = copy.filter(|_| reverting.keep).map(|of| of.child.pid());
            reverting.files =
                match self
                    .aspects
                    .files
                    .put_back(reverting.target, kept, reverting.force)
                {
                    true => FilesAre::ComingBack,
                    false => FilesAre::Back,
                };
            reverting.coming_back = ComingBack::begin();
        }
        reverting.files == FilesAre::ComingBack
    }

    /// Whoever waits for files hears of it, once in a while.
    pub(crate) fn check_files_coming_back(&mut self, now: u64) {
        if let Phase::Reverting(reverting) = &mut self.phase
            && reverting.files == FilesAre::ComingBack
            && let Some(text) = reverting.coming_back.word(now)
        {
            self.note(text);
        }
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

    /// The journal's process is gone. Another one takes its place, and goes on with what it was
    /// about to do.
    pub(crate) fn journal_has_ended(&mut self) {
        let live = self.live.pid();
        let started = patiently(|| self.started(family::all_children(live)?));
        let started = started.unwrap_or_else(|error| {
            self.note(format!(
                "the next journal does not know the program's processes: {error}"
            ));
            HashSet::new()
        });
        let others = started.iter().map(|process| process.pid);
        let processes = std::iter::once(self.live.pid()).chain(others).collect();
        let succession = self.aspects.files.succeed(processes);
        if let Some(pid) = self.aspects.files.pid() {
            own_processes::add(pid);
        }
        for token in self.aspects.files.take_unanswered() {
            self.refuse_to_compare(token, "the journal, which knows, has ended");
        }
        match succession {
            Succession::Expected => self.nobody_keeps_files(),
            Succession::Lost => {
                self.note("the journal has ended and can't be started again, so files stay as they are: snapshots bring back everything else");
                self.nobody_keeps_files();
            }
            Succession::Replaced { newest } => {
                self.note(match newest {
                    None => "the journal has ended, and another one was started".to_owned(),
                    Some(newest) => format!("the journal has ended, and another one was started: what had changed in files before does not come back for the snapshots up to {newest}"),
                });
                self.nobody_counts();
                self.ask_for_files_again();
            }
        }
    }

    /// Nobody must wait for counts of a journal that has died.
    fn nobody_counts(&mut self) {
        self.answer_lists(&[]);
        while let Some(commit) = self.aspects.files.committed() {
            self.report_commit(commit, 0);
        }
    }

    /// The journal that was putting files back has died. Its successor finishes that first.
    fn ask_for_files_again(&mut self) {
        if let Phase::Reverting(reverting) = &mut self.phase
            && reverting.files == FilesAre::ComingBack
        {
            reverting.files = FilesAre::Unasked;
            self.clear_branch();
        }
    }

    /// Nobody must wait for the journal any more.
    fn nobody_keeps_files(&mut self) {
        self.nobody_counts();
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
