//! The supervisor's loop: waits for events, and hands each to its act.

use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{self, Closed, Ended, SnapshotId};
use snapshot_core::wire::{Caller, FromCaller, FromFrozen, ToCaller, ToFrozen};

use super::under_way::reverting::Manner;
use super::{
    descriptors,
    interrupts::arrivals::Recipient,
    links::{AgentLink, Heard, MOST_AT_ONCE, may_be_passed},
    refusal::{apart, filters::Filters},
    stand_in::stand_in_for_launcher,
    state::{Phase, Supervisor},
};
use crate::poll_timeout;
use crate::talk::{
    channel::ToLauncher,
    event::{Event, Tier},
    signals::SI_KERNEL,
};

/// How long the program may take to load the agent before a note.
const HELLO_NS: u64 = 3_000_000_000;

/// How many calls to accept before anything else is served.
const CALLS_AT_ONCE: usize = 64;

/// How many calls may be open that have said nothing yet.
const MOST_CALLERS: usize = 1024;

/// What can be ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Channel,
    Switchboard,
    Journal,
    Taker,
    Copy,
    Spare,
    Late,
    Caller(usize),
    SilentCopy(usize),
    Frozen(SnapshotId),
}

/// How much a frozen copy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    None,
    One,
    /// The supervisor stops listening.
    Last,
}

impl Supervisor {
    pub(super) fn serve(&mut self) {
        loop {
            for source in self.ready() {
                self.hear(source);
            }
            // Only after all that was ready: if this process paused, a held press may be
            // overdue, while the rest of its burst still waits to be read.
            let now = now_ns();
            self.check_take_deadlines(now);
            self.check_revert_deadline(now);
            self.check_held_press(now);
            self.aspects.keepers.check(now);
            self.check_closings(now);
            self.check_counting(now);
            self.check_files_coming_back(now);
            self.tick(now);
            if !self.started && now >= self.spawned_ns + HELLO_NS {
                self.report_started();
                self.note("the program has not loaded the agent: it can't be snapshotted");
            }
            if self.check_ending(now) || (self.launcher_gone && self.is_alone()) {
                if self.launcher_gone {
                    stand_in_for_launcher(&self.config);
                }
                return;
            }
            self.serve_waiting();
        }
    }

    /// Waits, and says who is ready: signals first, since a death explains what follows.
    fn ready(&self) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>)> = vec![
            (Source::Signals, self.signals.as_fd()),
            (Source::Channel, self.channel.as_fd()),
            (Source::Switchboard, self.switchboard.as_fd()),
        ];
        // During a revert all calls are the dead branch's, until `wake` closes them. The
        // revived program's calls wait until it counts as live.
        if matches!(self.phase, Phase::Reverting(_)) {
            sources.pop();
        }
        if self.launcher_gone {
            sources.remove(1);
        }
        if let Some(fd) = self.aspects.files.fd() {
            sources.push((Source::Journal, fd));
        }
        match &self.phase {
            Phase::Taking(taking) => {
                if !taking.link().is_given_up() {
                    sources.push((Source::Taker, taking.link().as_fd()));
                }
                sources.push((Source::Copy, taking.copy().as_fd()));
            }
            Phase::Reverting(reverting) => {
                if let Some(link) = reverting.spare_link() {
                    sources.push((Source::Spare, link.as_fd()));
                }
            }
            Phase::Running | Phase::Ending(_) => {}
        }
        if let Some(link) = &self.late {
            sources.push((Source::Late, link.as_fd()));
        }
        // The same goes for accepted calls.
        if !matches!(self.phase, Phase::Reverting(_)) {
            for (index, caller) in self.callers.iter().enumerate() {
                sources.push((Source::Caller(index), caller.as_fd()));
            }
        }
        for (index, copy) in self.silent_copies.iter().enumerate() {
            sources.push((Source::SilentCopy(index), copy.link.as_fd()));
        }
        for (id, snapshot) in self.timeline.iter() {
            if !snapshot.link.is_given_up() {
                sources.push((Source::Frozen(id), snapshot.link.as_fd()));
            }
        }
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, poll_timeout::until(self.next_deadline())) {
            Ok(_) => {}
            Err(_) => return Vec::new(),
        }
        let mut ready: Vec<Source> = sources
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(false))
            .map(|((source, _), _)| *source)
            .collect();
        // Serving may remove an entry from its list, so start with the last.
        ready.reverse();
        ready.sort_by_key(|source| match source {
            Source::Signals => 0,
            // Before the copy: its link ends too if the live process gives up.
            Source::Taker | Source::Late => 1,
            Source::Copy => 2,
            _ => 3,
        });
        ready
    }

    fn next_deadline(&self) -> Option<u64> {
        let (revert, files_come_back) = match &self.phase {
            Phase::Reverting(reverting) => (
                reverting.deadline(self.is_all_reaped()),
                reverting.files_deadline(),
            ),
            _ => (None, None),
        };
        let hello = (!self.started).then_some(self.spawned_ns + HELLO_NS);
        let tick = self.next_tick_ns.filter(|_| self.is_running());
        [
            self.take_deadline(),
            revert,
            files_come_back,
            self.presses.due_at(),
            self.aspects.keepers.deadline(),
            self.aspects.closings.deadline(),
            self.aspects.files.deadline(),
            self.silent_copies_until(now_ns()),
            self.ending_deadline(),
            hello,
            tick,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Channel => self.hear_launcher(),
            Source::Switchboard => self.take_calls(),
            Source::Journal => self.hear_journal(),
            Source::Taker => {
                self.hear_taker();
            }
            Source::Copy => self.hear_copy(),
            Source::Spare => self.hear_spare(),
            Source::Late => self.hear_late(),
            Source::Caller(index) => self.hear_caller(index),
            Source::SilentCopy(index) => {
                self.hear_silent_copy(index);
                self.clear_branch();
            }
            Source::Frozen(id) => {
                if self.hear_frozen(id) == Word::Last {
                    self.frozen_hung_up(id);
                }
            }
        }
    }

    /// Accepts calls of the live process and closes others: anybody on the machine can call. A
    /// limited number at once, so that a flood delays nothing else.
    fn take_calls(&mut self) {
        for _ in 0..CALLS_AT_ONCE {
            let Some((link, pid)) = self.switchboard.accept() else {
                return;
            };
            if !self.live.is(pid) {
                continue;
            }
            // An agent speaks at once, so the oldest silent call is no agent's.
            let is_full = self.callers.len() >= MOST_CALLERS;
            if (is_full || descriptors::are_nearly_gone(&link.as_fd())) && !self.callers.is_empty()
            {
                self.callers.remove(0);
            }
            self.callers.push(link);
            // It speaks as soon as it has called. If an earlier call has begun a revert, its
            // words wait.
            if self.is_running() {
                self.hear_caller(self.callers.len() - 1);
            }
        }
    }

    /// A frozen copy or the woken copy speaks.
    pub(super) fn hear_frozen(&mut self, id: SnapshotId) -> Word {
        let Some(snapshot) = self.timeline.get(id) else {
            return Word::None;
        };
        let is_target =
            matches!(&self.phase, Phase::Reverting(reverting) if reverting.target() == id);
        match snapshot.link.hear() {
            Heard::Nothing => return Word::None,
            Heard::Closed => return Word::Last,
            Heard::Message(FromFrozen::Passed { signal, sender }) if may_be_passed(signal) => {
                self.passed_on(id, signal, sender);
            }
            Heard::Message(FromFrozen::LetGo) => self.aspects.closings.has_let_go(id),
            Heard::Message(message) if is_target => self.hear_woken(message),
            // Nobody waits for this answer any more.
            Heard::Message(FromFrozen::Prepared | FromFrozen::Hindered(_)) => {}
            Heard::Other(message, sender) if is_target && self.has_become(sender) => {
                self.hear_woken(message);
            }
            Heard::OutOfTurn { other }
                if is_target && other.is_none_or(|sender| self.has_become(sender)) =>
            {
                self.woken_out_of_turn();
            }
            // Out of turn: the engine's frozen copies never say that.
            Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. } => return Word::Last,
        }
        Word::One
    }

    /// Hears all that the target's copy has said by now, if there is a revert.
    pub(super) fn hear_target(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let Phase::Reverting(reverting) = &self.phase else {
                return;
            };
            let target = reverting.target();
            if self.hear_frozen(target) != Word::One {
                return;
            }
        }
    }

    /// A frozen copy's link has ended. A dead copy is reaped in a moment. One that only hung
    /// up, or spoke out of turn, could not be woken.
    fn frozen_hung_up(&mut self, id: SnapshotId) {
        let pid_of = |of: &Self| Some(of.timeline.get(id)?.child.pid());
        let pid = pid_of(self);
        self.reap();
        self.woken_hung_up(id);
        let Some(snapshot) = self.timeline.get(id) else {
            return;
        };
        // Another copy replaced it.
        if pid_of(self) != pid {
            return;
        }
        snapshot.link.give_up();
        match &self.phase {
            Phase::Reverting(reverting) if reverting.target() == id => {
                self.end_woken();
            }
            _ => {
                snapshot.child.signal(libc::SIGKILL);
            }
        }
    }

    /// The live process calls.
    fn hear_caller(&mut self, index: usize) {
        let Some(caller) = self.callers.get(index) else {
            return;
        };
        match caller.hear() {
            Heard::Nothing => {}
            // Only the live process may speak on its call.
            Heard::Closed | Heard::Other(..) | Heard::OutOfTurn { other: Some(_) } => {
                self.callers.remove(index);
            }
            Heard::OutOfTurn { other: None } => {
                self.callers.remove(index).say(&ToCaller::Denied);
            }
            Heard::Message(message) => {
                let link = self.callers.remove(index);
                self.serve_caller(link, message);
            }
        }
    }

    fn serve_caller(&mut self, link: AgentLink<Caller>, message: FromCaller) {
        match message {
            FromCaller::Hello => {
                let emulator = apart::emulator_in(self.live.pid());
                self.live.has_loaded_agent(emulator);
                if !self.started {
                    self.report_started();
                }
                let welcome = ToCaller::Welcome {
                    take_at_start: self.start_snapshot_due,
                    no_files: self.config.trees.is_none(),
                    journal: self.aspects.files.listens(),
                    reseed: self.config.reseed,
                };
                link.hand(&welcome, self.aspects.children.memory());
            }
            FromCaller::Exec => {
                self.live.has_lost_agent();
                // The exec replaces the memory that it keeps.
                self.aspects.keepers.end_live();
                self.spawned_ns = now_ns();
                link.hand(&ToCaller::Carry, &self.config.agent);
            }
            FromCaller::Closed(closed) => self.have_let_go(link, closed),
            FromCaller::Begin { ask, at_ns, label } => self.begin_take(link, ask, at_ns, label),
            FromCaller::Interrupted { sender, passed } => {
                self.interrupt_asked(link, sender, passed);
            }
            FromCaller::Revert { id } => {
                let id = (id != 0).then(|| SnapshotId::new(id));
                if self.is_running()
                    && self.begin_revert(id, Manner::default(), Ended::Reverted, now_ns(), None)
                {
                    self.revert_called(link);
                } else {
                    link.say(&ToCaller::Denied);
                }
            }
            FromCaller::Commit => {
                self.commit(None);
                link.say(&self.listing_for_agent());
            }
            FromCaller::Drop { id } => {
                let answer = match self.drop_snapshot(SnapshotId::new(id)) {
                    Some(_) => self.listing_for_agent(),
                    None => ToCaller::Denied,
                };
                link.say(&answer);
            }
            FromCaller::List => link.say(&self.listing_for_agent()),
            FromCaller::Filtered(filter) => {
                let is_news = self.live.filters_mut().add(filter);
                if let Some(text) = Filters::note(filter).filter(|_| is_news) {
                    self.note(text);
                }
                link.say(&ToCaller::Denied);
            }
            FromCaller::Unfiltered(filter) => {
                self.live.filters_mut().remove(filter);
                link.say(&ToCaller::Denied);
            }
            FromCaller::Uses(own) => self.note_own_use(own),
        }
    }

    /// The live process closes something, and waits until no snapshot holds it.
    fn have_let_go(&mut self, link: AgentLink<Caller>, closed: Closed) {
        let message = ToFrozen::LetGo(closed);
        let mut holders = Vec::new();
        for (id, snapshot) in self.timeline.iter() {
            snapshot.link.say(&message);
            holders.push(id);
        }
        // One that is complete, but not reported by the program yet.
        if let Phase::Taking(taking) = &self.phase {
            taking.copy().say(&message);
            holders.push(taking.id());
        }
        self.aspects.closings.begin(link, holders);
    }

    fn check_closings(&mut self, now: u64) {
        let are_all_known = self.silent_copies_until(now).is_none();
        let dying = are_all_known.then_some(&self.dying);
        self.aspects.closings.check(now, dying);
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            let from_kernel = info.ssi_code == SI_KERNEL;
            let sender = terms::sender(info.ssi_code, i32::try_from(info.ssi_pid).unwrap_or(0));
            if signal == self.config.trigger
                && sender == self.live.pid()
                && let Some((request, errno)) = terms::muted(info.ssi_ptr)
            {
                self.refuse_mute(request, errno);
                continue;
            }
            match signal {
                libc::SIGCHLD => self.reap(),
                libc::SIGINT if from_kernel => self.interrupt_elsewhere(Recipient::Supervisor, 0),
                // The kernel sent its other signals to the program too.
                _ if from_kernel => {}
                libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                    self.tell(&ToLauncher::AskedToEnd { signal });
                }
                libc::SIGCONT | libc::SIGPIPE => {}
                _ => self.signalled(Recipient::Supervisor, signal, sender, now_ns()),
            }
        }
    }

    pub(crate) fn report_started(&mut self) {
        self.started = true;
        self.event(Event::Started {
            session: self.config.session.clone(),
            launcher_pid: self.config.launcher_pid,
            live_pid: self.live.outer_pid(),
            tier: if self.outside.is_another() {
                Tier::Full
            } else {
                Tier::IdsDiffer
            },
            files: self.aspects.files.promised(self.config.trees.as_ref()),
        });
    }

    /// Whether no process of the session is left but this one.
    fn is_alone(&self) -> bool {
        crate::processes::family::children(nix::unistd::getpid().as_raw()).is_empty()
    }
}
