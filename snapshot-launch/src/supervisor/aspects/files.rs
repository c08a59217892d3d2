//! The program's files, by way of the journal ([`crate::journal`]): a process of its own, which
//! keeps what changes and puts it back.
//!
//! The supervisor never waits for it: a take and a revert each have a step that the journal
//! ends.
//!
//! A journal that is killed gets a successor: somebody must answer the program's calls, which
//! wait without end. The supervisor keeps a second descriptor of the listener for that.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use snapshot_core::process::own_processes;
use snapshot_core::sys::now_ns;
use snapshot_core::terms::SnapshotId;

use super::aspect::{Aspect, Standstill};
use crate::journal::{
    process::{self, Settings},
    scope::Trees,
};
use crate::processes::{
    child::Child,
    family::{self, Process},
};
use crate::refusal::Refusal;
use crate::talk::{
    channel::{Channel, Received},
    event::{self, NotRolledBack},
    journal::{FromJournal, ToJournal},
};

/// How the supervisor stands with the journal.
#[derive(Debug, Default)]
enum Journal {
    /// There is none: no file comes back.
    #[default]
    None,
    Works {
        child: Child,
        channel: Channel,
    },
    /// Its channel is closed, and it removes what it has kept.
    Ends(Child),
}

/// A commit that is reported when its files are counted.
#[derive(Debug, Clone)]
pub(crate) struct Committing {
    pub(crate) dropped: Vec<u32>,
    pub(crate) token: Option<u64>,
}

/// How long a list waits for the journal, which may be busy with a large file.
const PATIENCE_NS: u64 = 300_000_000;

/// So many journals in a row: then something else is wrong.
const MOST_JOURNALS: u32 = 1000;

/// What has become of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Succession {
    /// Another one works in its place. What changed before does not come back for the snapshots
    /// up to this one.
    Replaced { newest: Option<SnapshotId> },
    /// It was to end.
    Expected,
    /// There is none any more.
    Lost,
}

/// The files of a session.
#[derive(Debug, Default)]
pub(crate) struct Files {
    journal: Journal,
    /// How to start another one; `None` if none is wanted any more.
    settings: Option<Settings>,
    /// How many there were.
    journals: u32,
    /// Where the program's calls are reported, and whether it may have restricted itself before.
    listener: Option<(OwnedFd, bool)>,
    /// Where the program's write functions look whether a file is guarded.
    guards: Option<OwnedFd>,
    /// The snapshots that have a level, oldest first.
    levels: Vec<SnapshotId>,
    /// Who waits to hear what differs.
    asked: Vec<u64>,
    /// Snapshots up to this one have no files from before the journal's start.
    late: Option<SnapshotId>,
    /// Why there is none, if the user has not asked for that.
    lack: Option<String>,
    /// The session's calls are reported to the journal.
    listens: bool,
    /// Why they are not.
    no_listener: Option<i32>,
    /// The level that is being begun, and the processes that may write.
    beginning: Option<(SnapshotId, Vec<i32>)>,
    /// The commits whose files are being counted, oldest first.
    committing: VecDeque<Committing>,
    /// Who waits for a list, and until when.
    counting: Vec<Option<u64>>,
    counting_until_ns: u64,
}

impl Files {
    /// Starts a journal.
    pub(crate) fn with(settings: Settings) -> Self {
        match process::start(settings.clone()) {
            Ok((child, channel)) => Self {
                journal: Journal::Works { child, channel },
                settings: Some(settings),
                ..Self::default()
            },
            Err(error) => Self::without(&error),
        }
    }

    /// There is no journal, for this reason.
    pub(crate) fn without(error: &io::Error) -> Self {
        Self {
            lack: Some(format!("the journal could not be started: {error}")),
            ..Self::default()
        }
    }

    /// What to promise at the start of a session.
    pub(crate) fn promised(&self, trees: Option<&Trees>) -> event::Files {
        match (&self.journal, trees) {
            (Journal::Works { .. }, Some(Trees::All)) => event::Files::All,
            (Journal::Works { .. }, Some(Trees::Only(trees))) => event::Files::Trees(trees.clone()),
            _ => event::Files::None,
        }
    }

    /// Whether the program must still be asked to report its calls.
    pub(crate) fn wants_listener(&self) -> bool {
        matches!(self.journal, Journal::Works { .. }) && !self.listens
    }

    /// Whether the program's calls are reported to the journal.
    pub(crate) fn listens(&self) -> bool {
        self.listens
    }

    /// The program's calls are reported here. True if they were not before.
    pub(crate) fn listen(&mut self, listener: &OwnedFd, is_restricted: bool) -> bool {
        if !self.wants_listener() {
            return false;
        }
        if let Journal::Works { channel, .. } = &self.journal {
            let told = channel.hand(&ToJournal::Listen { is_restricted }, listener.as_fd());
            self.listens = told.is_ok();
        }
        // Without a second descriptor the calls would fail if the journal were killed.
        self.listener = listener.try_clone().ok().map(|fd| (fd, is_restricted));
        self.listens
    }

    /// The program's write functions look into this memory.
    pub(crate) fn guards_by(&mut self, memory: OwnedFd) {
        self.guards = Some(memory);
        self.hand_guards();
    }

    fn hand_guards(&self) {
        if let (Journal::Works { channel, .. }, Some(memory)) = (&self.journal, &self.guards) {
            // Without it nothing is guarded.
            let _ = channel.hand(&ToJournal::Guards, memory.as_fd());
        }
    }

    /// The program can't report its calls: the kernel's reason.
    pub(crate) fn has_no_listener(&mut self, errno: i32) {
        self.no_listener = Some(errno);
    }

    /// What to wait on for the journal's messages.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.journal {
            Journal::Works { channel, .. } => Some(channel.as_fd()),
            Journal::None | Journal::Ends(_) => None,
        }
    }

    /// The journal's process, until it is reaped.
    pub(crate) fn pid(&self) -> Option<i32> {
        match &self.journal {
            Journal::Works { child, .. } | Journal::Ends(child) => Some(child.pid()),
            Journal::None => None,
        }
    }

    /// The next message, if there is one.
    pub(crate) fn hear(&mut self) -> Option<FromJournal> {
        loop {
            let Journal::Works { channel, .. } = &self.journal else {
                return None;
            };
            match channel.receive() {
                Ok(Received::Message(FromJournal::Store(path))) => {
                    if let Some(settings) = &mut self.settings {
                        settings.left.push(path);
                    }
                }
                Ok(Received::Message(message)) => return Some(message),
                Ok(Received::Nothing) => return None,
                // It has ended, or will.
                Ok(Received::Closed) | Err(_) => {
                    self.hang_up();
                    return None;
                }
            }
        }
    }

    /// Whether the level of this snapshot has begun, or never will.
    pub(crate) fn has_begun(&self, id: SnapshotId) -> bool {
        self.beginning
            .as_ref()
            .is_none_or(|(beginning, _)| *beginning != id)
    }

    /// The journal has begun a level. False if nobody waits for it any more.
    pub(crate) fn begun(&mut self, id: SnapshotId) -> bool {
        self.beginning
            .take_if(|(beginning, _)| *beginning == id)
            .is_some()
    }

    /// What a take has to say of files that will not come back. `started` are the processes that
    /// the program has started.
    pub(crate) fn gaps(&self, started: &HashSet<Process>) -> Vec<NotRolledBack> {
        let gap = |what: String, why: String| NotRolledBack {
            kind: "files".to_owned(),
            what,
            why,
        };
        let lack = match (&self.lack, self.no_listener) {
            (Some(lack), _) => Some(lack.clone()),
            (None, Some(errno)) if !self.listens => Some(why_not_reported(errno)),
            _ => None,
        };
        if let Some(why) = lack {
            return vec![gap("all that the program changes in files".to_owned(), why)];
        }
        if !self.listens {
            return Vec::new();
        }
        let pids = started.iter().map(|process| process.pid);
        pids.filter(|pid| !own_processes::contain(*pid) && is_unreported(*pid))
            .map(|pid| {
                gap(
                    format!("what {} changes in files", family::title_of(pid)),
                    "it was started before the first snapshot, so nobody is told of its changes: they stay".to_owned(),
                )
            })
            .collect()
    }

    /// Asks for the files as they were at this snapshot. `kept` is its copy, if it stays; by
    /// `force` also those that others have changed. False if there is nothing to wait for.
    pub(crate) fn put_back(&self, id: SnapshotId, kept: Option<i32>, force: bool) -> bool {
        let id = id.number();
        self.tell(&ToJournal::Revert { id, kept, force }) || self.expects_another()
    }

    /// Asks what differs between two moments. False if there is nobody to ask.
    pub(crate) fn compare(
        &mut self,
        token: u64,
        from: SnapshotId,
        to: Option<SnapshotId>,
        with_text: bool,
    ) -> bool {
        let is_asked = self.tell(&ToJournal::Diff {
            token,
            from: from.number(),
            to: to.map(SnapshotId::number),
            with_text,
        });
        if is_asked {
            self.asked.push(token);
        }
        is_asked
    }

    /// This one has been answered.
    pub(crate) fn has_compared(&mut self, token: u64) {
        self.asked.retain(|asked| *asked != token);
    }

    /// Those whom a dead journal has not answered.
    pub(crate) fn take_unanswered(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.asked)
    }

    /// All snapshots are about to be forgotten. Returns the commit if nobody will count its
    /// files.
    pub(crate) fn commit(&mut self, commit: Committing) -> Option<Committing> {
        if !self.tell(&ToJournal::Commit) {
            return Some(commit);
        }
        self.committing.push_back(commit);
        None
    }

    /// The files of the oldest commit are counted.
    pub(crate) fn committed(&mut self) -> Option<Committing> {
        self.committing.pop_front()
    }

    /// Whether a commit is still to be reported.
    pub(crate) fn is_committing(&self) -> bool {
        !self.committing.is_empty()
    }

    /// Somebody wants a list with counts. False if there is nobody to count.
    pub(crate) fn count_for(&mut self, token: Option<u64>) -> bool {
        if !self.tell(&ToJournal::Count) {
            return false;
        }
        if self.counting.is_empty() {
            self.counting_until_ns = now_ns() + PATIENCE_NS;
        }
        self.counting.push(token);
        true
    }

    /// Those who wait for a list.
    pub(crate) fn counted(&mut self) -> Vec<Option<u64>> {
        std::mem::take(&mut self.counting)
    }

    /// When those who wait for a list have waited long enough.
    pub(crate) fn deadline(&self) -> Option<u64> {
        (!self.counting.is_empty()).then_some(self.counting_until_ns)
    }

    /// Whether this snapshot lacks the files that had changed before the journal's start.
    pub(crate) fn lacks_older(&self, id: SnapshotId) -> bool {
        self.late.is_some_and(|late| id <= late)
    }

    /// Whether a journal that has ended will be replaced.
    pub(crate) fn expects_another(&self) -> bool {
        self.settings.is_some() && !self.is_over()
    }

    /// Nobody needs it any more: it removes what it has kept, and ends.
    pub(crate) fn close(&mut self) {
        self.settings = None;
        self.listener = None;
        self.beginning = None;
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.journal = match std::mem::take(&mut self.journal) {
            Journal::Works { child, .. } => Journal::Ends(child),
            other => other,
        };
    }

    /// The journal has been reaped. `processes` are those that may have files open.
    pub(crate) fn succeed(&mut self, processes: Vec<i32>) -> Succession {
        self.journal = Journal::None;
        let Some(settings) = &self.settings else {
            return Succession::Expected;
        };
        self.journals += 1;
        let mut settings = settings.clone();
        settings.tag = format!("{}-{}", settings.tag, self.journals);
        let started = match self.journals {
            0..=MOST_JOURNALS => process::start(settings).ok(),
            _ => None,
        };
        let Some((child, channel)) = started else {
            self.close();
            self.lack = Some("the journal, which keeps what changes, has ended".to_owned());
            return Succession::Lost;
        };
        self.journal = Journal::Works { child, channel };
        let begun = self.beginning.as_ref().map(|(id, _)| *id);
        let older = self.levels.iter().filter(|id| Some(**id) != begun);
        let newest = older.clone().max().copied();
        let ids = older.map(|id| id.number()).collect();
        self.late = self.late.max(newest);
        self.hand_guards();
        self.tell(&ToJournal::GoOn { ids, processes });
        if let Some((id, processes)) = self.beginning.clone() {
            let id = id.number();
            self.tell(&ToJournal::Begin { id, processes });
        }
        if let (Journal::Works { channel, .. }, Some((fd, is_restricted))) =
            (&self.journal, &self.listener)
        {
            let listen = ToJournal::Listen {
                is_restricted: *is_restricted,
            };
            self.listens = channel.hand(&listen, fd.as_fd()).is_ok();
        }
        Succession::Replaced { newest }
    }

    /// Whether there is no journal any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.journal, Journal::None)
    }

    fn tell(&self, message: &ToJournal) -> bool {
        match &self.journal {
            Journal::Works { channel, .. } => channel.send(message).is_ok(),
            Journal::None | Journal::Ends(_) => false,
        }
    }
}

impl Aspect for Files {
    type Kept = SnapshotId;

    fn take(
        &mut self,
        still: &mut Standstill<'_>,
        _earlier: &[&SnapshotId],
    ) -> Result<SnapshotId, Refusal> {
        let others = still.started.iter().map(|process| process.pid);
        let processes: Vec<i32> = std::iter::once(still.pid).chain(others).collect();
        let begin = ToJournal::Begin {
            id: still.id.number(),
            processes: processes.clone(),
        };
        // If it has just been killed, the next one begins the level.
        let is_told = self.tell(&begin) || self.expects_another();
        self.beginning = is_told.then_some((still.id, processes));
        self.levels.push(still.id);
        Ok(still.id)
    }

    fn forget(&mut self, kept: &SnapshotId, _left: usize) {
        self.beginning.take_if(|(beginning, _)| beginning == kept);
        self.levels.retain(|id| id != kept);
        self.tell(&ToJournal::Drop { id: kept.number() });
    }
}

/// Whether a process runs without the filter, which it would have from its parent.
fn is_unreported(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.split_whitespace().eq(["Seccomp:", "0"]))
}

fn why_not_reported(errno: i32) -> String {
    use nix::errno::Errno;
    match Errno::from_raw(errno) {
        Errno::EBUSY => "the program has another process decide on its system calls (seccomp), so nobody can be told of them".to_owned(),
        Errno::ESRCH => "its threads have different filters of system calls (seccomp), so nobody can be told of what they change".to_owned(),
        errno => format!("the kernel does not tell of the program's system calls (seccomp): {errno}"),
    }
}
