//! A take under way.

use crate::processes::{child::Child, family, headway::Headway};
use crate::supervisor::{aspects::list::Kept, links::AgentLink, refusal::gaps};
use crate::talk::event::{Moments, NotRolledBack, Trigger};
use nix::libc;
use snapshot_core::terms::{Ended, Gap, InterruptedCall, SnapshotId};
use snapshot_core::wire::{Frozen, Taker};

/// How long the program may take to answer a request, and how long a copy may stand still
/// before it is frozen. One with much to record is slow, but works.
pub(crate) const PATIENCE_NS: u64 = 3_000_000_000;

/// How many gaps a copy may name.
pub(crate) const MOST_GAPS: usize = 65_536;

/// How long to look at a program that seems to be stopped.
pub(crate) const LOOK_NS: u64 = 50_000_000;

/// Whether a thread of a process has been stopped, or is held by a debugger.
pub(crate) fn is_traced_or_stopped(pid: i32) -> bool {
    family::states(pid).any(|state| matches!(state, 'T' | 't'))
}

/// A take under way.
pub(crate) struct Taking {
    pub(crate) id: SnapshotId,
    pub(crate) link: AgentLink<Taker>,
    pub(crate) copy: AgentLink<Frozen>,
    pub(crate) trigger: Trigger,
    pub(crate) token: Option<u64>,
    pub(crate) label: Option<String>,
    pub(crate) moments: Moments,
    /// What the first thread was doing when it was signalled.
    pub(crate) interrupted_call: InterruptedCall,
    /// What has been seen of the program, once it stands still.
    pub(crate) seen: Option<Seen>,
    /// What the copy names.
    pub(crate) gaps: Vec<NotRolledBack>,
    /// Gaps without words: the program was killed meanwhile.
    pub(crate) unworded: Vec<Gap>,
    /// The live process says that the copy is made.
    pub(crate) split: bool,
    /// The copy, once it is made and until it sleeps.
    pub(crate) made: Option<Child>,
    /// The copy, once it sleeps.
    pub(crate) frozen: Option<Child>,
    /// How many copies have been granted, and how many the live process says it has made.
    pub(crate) granted: u32,
    pub(crate) splits: u32,
    /// The live process has died meanwhile.
    pub(crate) death: Option<Death>,
    /// The snapshot is in the timeline; only the report is missing.
    pub(crate) complete: bool,
    /// The program has not said that it runs, nor its keeper that it is there.
    pub(crate) is_late: bool,
    /// The program's until the copy is made, then the copy's.
    pub(crate) headway: Headway,
    /// Set while something waits for the end of a take that seems to be stopped.
    pub(crate) stopped: Option<Stop>,
}

/// What has been seen of the program while it stood still.
pub(crate) struct Seen {
    /// The program's place in `/proc`, and what it has mapped.
    pub(crate) proc: String,
    pub(crate) maps: Vec<u8>,
    pub(crate) threads: u32,
    /// Resident memory; unknown if the program has died meanwhile.
    pub(crate) rss_bytes: Option<u64>,
    /// What the aspects keep.
    pub(crate) kept: Kept,
    pub(crate) not_rolled_back: Vec<NotRolledBack>,
}

/// The end of the live process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) ended: Ended,
    pub(crate) at_ns: u64,
}

/// A take that stands still because somebody has stopped the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// When to look again.
    pub(crate) look_ns: u64,
    /// The program's work so far.
    pub(crate) work: Option<family::Work>,
}

impl Taking {
    pub(crate) fn link(&self) -> &AgentLink<Taker> {
        &self.link
    }

    pub(crate) const fn id(&self) -> SnapshotId {
        self.id
    }

    pub(crate) fn copy(&self) -> &AgentLink<Frozen> {
        &self.copy
    }

    /// The copy, once it is there.
    pub(crate) fn child(&self) -> Option<&Child> {
        self.frozen.as_ref().or(self.made.as_ref())
    }

    /// Whether this is the process of the copy.
    pub(crate) fn is_copy(&self, pid: i32) -> bool {
        self.child().is_some_and(|copy| copy.pid() == pid)
    }

    /// The process that has to work for it now.
    pub(crate) fn worker(&self, live: i32, journal: Option<i32>) -> Option<i32> {
        match self.child() {
            Some(_) if self.frozen.is_some() && self.split && !self.complete => journal,
            Some(copy) if !self.complete => Some(copy.pid()),
            None if self.death.is_some() => None,
            _ => Some(live),
        }
    }

    /// The copy goes on, if it has been stopped.
    pub(crate) fn let_copy_go_on(&self) {
        if let Some(copy) = self.child() {
            copy.signal(libc::SIGCONT);
        }
    }

    /// Whether somebody has stopped the program: it is so at two looks, with no work in
    /// between. A tracer stops it for moments only.
    pub(crate) fn is_stopped(&mut self, live: i32, now: u64) -> bool {
        if self.death.is_some() || self.stopped.is_some_and(|stop| now < stop.look_ns) {
            return false;
        }
        let work = Some(live)
            .filter(|&live| is_traced_or_stopped(live))
            .and_then(family::work_of);
        let before = self.stopped.replace(Stop {
            look_ns: now + LOOK_NS,
            work,
        });
        work.is_some() && before.is_some_and(|stop| stop.work == work)
    }

    /// The copy names something that will not be as it was. False if these are too many.
    pub(crate) fn hear_of(&mut self, gap: &Gap) -> bool {
        let seen = self.seen.as_ref();
        match seen.and_then(|seen| gaps::tell(&seen.proc, &seen.maps, gap)) {
            Some(words) => self.gaps.push(words),
            None => self.unworded.push(*gap),
        }
        self.gaps.len() + self.unworded.len() <= MOST_GAPS
    }
}
