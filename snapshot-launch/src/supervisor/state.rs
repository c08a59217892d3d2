//! What the supervisor knows.

use crate::supervisor::{
    config::Config, live::Live, snapshot::Snapshot, under_way::wanted::Wanted,
};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::rc::Rc;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use snapshot_core::terms::{SnapshotId, timeline::Timeline};
use snapshot_core::wire::{Caller, Taker};

use super::{
    anchor::Anchor,
    aspects::list::Aspects,
    interrupts::{arrivals::Arrivals, presses::Presses, via::Fate},
    links::{AgentLink, Switchboard},
    refusal::apart::Home,
    under_way::{
        asked::Asked, ending::Ending, reverting::Reverting, silent_copy::SilentCopy, taking::Taking,
    },
};
use crate::processes::{
    child::{self, Child},
    outside::Outside,
};
use crate::talk::{
    channel::{Channel, ToLauncher},
    control::Answer,
    event::Event,
};

/// What is under way.
pub(crate) enum Phase {
    /// The program runs.
    Running,
    Taking(Box<Taking>),
    Reverting(Box<Reverting>),
    /// The session is ending.
    Ending(Ending),
}

/// The supervisor itself.
pub(crate) struct Supervisor {
    pub(crate) config: Config,
    pub(crate) outside: Outside,
    pub(crate) channel: Rc<Channel>,
    pub(crate) signals: SignalFd,
    pub(crate) switchboard: Switchboard,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) live: Live,
    /// The namespaces that the program was started in.
    pub(crate) home: Home,
    pub(crate) timeline: Timeline<Snapshot>,
    pub(crate) aspects: Aspects,
    /// Killed frozen copies that are not reaped yet.
    pub(crate) dying: HashSet<i32>,
    pub(crate) silent_copies: Vec<SilentCopy>,
    pub(crate) phase: Phase,
    /// Requests that wait until the program runs again.
    pub(crate) waiting: VecDeque<Wanted>,
    /// The one take that the live process has been signalled for.
    pub(crate) asked: Option<Asked>,
    pub(crate) next_request: u32,
    /// The link of a take that is over, until the live process ends it.
    pub(crate) late: Option<AgentLink<Taker>>,
    /// Calls of the live process that have said nothing yet.
    pub(crate) callers: Vec<AgentLink<Caller>>,
    pub(crate) presses: Presses,
    /// How the held press came.
    pub(crate) held_press: Option<super::interrupts::via::Via>,
    pub(crate) interrupts: Arrivals<Fate>,
    /// Interrupts sent to the program that it has not asked about yet.
    pub(crate) sent_interrupts: Vec<u32>,
    /// An interrupt that came during a take, acted on after it.
    pub(crate) interrupt_after_take: Option<(super::interrupts::via::Via, u64)>,
    pub(crate) started: bool,
    pub(crate) spawned_ns: u64,
    pub(crate) start_snapshot_due: bool,
    pub(crate) next_tick_ns: Option<u64>,
    pub(crate) launcher_gone: bool,
    /// The program uses the trigger itself, and a note said so.
    pub(crate) has_own_use: bool,
}

impl Supervisor {
    /// Tells the launcher. If that is gone, the loop sees the channel's end.
    pub(crate) fn tell(&self, message: &ToLauncher) {
        let _ = self.channel.send(message);
    }

    pub(crate) fn event(&self, event: Event) {
        self.tell(&ToLauncher::Event(event));
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.tell(&ToLauncher::Note(text.into()));
    }

    pub(crate) fn answer(&self, token: Option<u64>, answer: Answer) {
        if let Some(token) = token {
            self.tell(&ToLauncher::Answer { token, answer });
        }
    }

    /// Says no, with the reason.
    pub(crate) fn refuse(&self, token: Option<u64>, what: &str, cause: &str, help: &str) {
        self.answer(
            token,
            Answer::Refused {
                what: what.to_owned(),
                cause: cause.to_owned(),
                help: help.to_owned(),
            },
        );
    }

    /// A number for a request to the live process. Never 0, which means none to the agent.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1).max(1);
        self.next_request
    }

    /// Sends the live process a signal, if there is one.
    pub(crate) fn signal_live(&self, signal: Signal) {
        self.live.signal(signal as i32);
    }

    /// Ends a frozen copy that is no snapshot any more.
    pub(crate) fn end_copy(&mut self, copy: Child) {
        if copy.signal(libc::SIGKILL) {
            self.dying.insert(copy.pid());
        }
    }

    /// The sender of a message, if it is a child of ours with no other part in the session.
    ///
    /// # Errors
    /// ECHILD if it is not; EMFILE.
    pub(crate) fn newcomer(&self, sender: i32) -> io::Result<Child> {
        if self.has_a_part(sender) {
            return Err(Errno::ECHILD.into());
        }
        Child::of(sender)
    }

    /// The same for one that speaks for the first time. Without a descriptor for it the
    /// supervisor ends it: it would pass for one of the program's.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn first_heard(&mut self, sender: i32) -> io::Result<Child> {
        let newcomer = self.newcomer(sender);
        let is_ours = |error: &io::Error| error.raw_os_error() != Some(libc::ECHILD);
        if newcomer.as_ref().is_err_and(is_ours) && child::kill_by_number(sender) {
            self.dying.insert(sender);
        }
        newcomer
    }

    /// Whether a process already has a part in the session.
    fn has_a_part(&self, pid: i32) -> bool {
        let is_awaited = match &self.phase {
            Phase::Taking(taking) => taking.is_copy(pid),
            Phase::Reverting(reverting) => reverting.has_a_part(pid),
            Phase::Running | Phase::Ending(_) => false,
        };
        is_awaited
            || self.live.is(pid)
            || self
                .anchor
                .as_ref()
                .is_some_and(|anchor| anchor.pid().as_raw() == pid)
            || self.dying.contains(&pid)
            || self.aspects.keepers.pids().any(|keeper| keeper == pid)
            || self.aspects.files.pid() == Some(pid)
            || self.snapshot_of(pid).is_some()
    }

    pub(crate) fn depth(&self) -> u32 {
        u32::try_from(self.timeline.depth()).unwrap_or(u32::MAX)
    }

    /// Which snapshots there are, as numbers, those ahead too.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.timeline.iter().map(|(id, _)| id.number()).collect()
    }

    /// The processes below this one that are the session's and not the program's.
    pub(crate) fn own_pids(&self) -> HashSet<i32> {
        let frozen = self
            .timeline
            .iter()
            .map(|(_, snapshot)| snapshot.child.pid());
        let anchor = self.anchor.as_ref().map(|anchor| anchor.pid().as_raw());
        frozen
            .chain(anchor)
            .chain(self.dying.iter().copied())
            .chain(self.aspects.keepers.pids())
            .chain(self.aspects.files.pid())
            .chain(self.spare_pid())
            .chain(self.woken_pid())
            .collect()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// The snapshot whose frozen copy has this pid.
    pub(crate) fn snapshot_of(&self, pid: i32) -> Option<SnapshotId> {
        self.timeline
            .iter()
            .find(|(_, snapshot)| snapshot.child.pid() == pid)
            .map(|(id, _)| id)
    }
}
