//! A take, seen from the supervisor; [`snapshot_core::acts::take`] tells the whole story.

use crate::supervisor::under_way::taking::{Death, PATIENCE_NS, Seen, Taking};
use crate::talk::facts::SnapshotFacts;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use snapshot_core::process::own_processes;
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ask, InterruptedCall, Obstacle, Text, ThreadCounts};
use snapshot_core::wire::{Caller, FromFrozen, FromTaker, Frozen, LISTED, ToCaller, ToTaker};

use crate::processes::{
    family::{self, Process},
    headway::Headway,
};
use crate::refusal::{
    Refusal,
    obstacles::{explain, unseen},
};
use crate::supervisor::{
    aspects::{aspect::Standstill, list::Kept},
    descriptors, ids,
    links::{AgentLink, Heard, LastWords, MOST_AT_ONCE, may_be_passed},
    listener::is_listener,
    refusal::{apart, gaps, preflight},
    snapshot::Snapshot,
    state::{Phase, Supervisor},
};
use crate::talk::{
    control::{Answer, Request},
    event::{Event, Moments, NotRolledBack, Refused, Taken, Trigger},
};

/// How many copies one take may need: the live process gives up after three that lack memory.
const MOST_COPIES: u32 = 4;

fn no_descriptor() -> Refusal {
    Refusal::failed(
        "the supervisor has no descriptor left for another frozen copy",
        "drop a snapshot, or raise the limit, `ulimit -Hn`",
    )
}

fn no_descriptor_for(error: &std::io::Error) -> Refusal {
    let Refusal { why, help, .. } = no_descriptor();
    Refusal::failed(format!("{why}: {error}"), help)
}

fn too_many_gaps() -> Refusal {
    Refusal::failed(
        "the program has more than 65,536 things that a revert can't bring back",
        "close what it does not need",
    )
}

fn died_too_early() -> Refusal {
    Refusal::failed(
        "the program died before the snapshot was complete",
        "take the next one earlier",
    )
}

fn out_of_turn() -> Refusal {
    Refusal::failed(
        "what was said in the agent's name was not its turn to say, or came from another process: the agent is of another version, or other code of the program speaks to the session",
        "install cargo-snapshot again, or find out what the program does there",
    )
}

impl Supervisor {
    /// The live process calls: it is in its handler, or in the library.
    pub(crate) fn begin_take(
        &mut self,
        link: AgentLink<Caller>,
        ask: Ask,
        at_ns: u64,
        label: Text,
    ) {
        let link = link.into_take();
        // Another link may take its place.
        self.hear_late();
        if !self.is_running() {
            link.say(&ToTaker::Denied);
            return;
        }
        let at_ns = self.possible_time(at_ns);
        let label = Some(label.as_str().to_owned()).filter(|label| !label.is_empty());
        let mut interrupted_call = InterruptedCall::default();
        let ask_was_ours = matches!(ask, Ask::Request(_));
        let mut moments = Moments {
            asked: at_ns,
            ..Moments::default()
        };
        let (trigger, token, label) = match ask {
            Ask::Signal if self.start_snapshot_due => {
                self.start_snapshot_due = false;
                (Trigger::Start, None, None)
            }
            Ask::Signal => (Trigger::Signal, None, None),
            Ask::Api => (Trigger::Api, None, label),
            Ask::Request(number) => match self.asked.take_if(|asked| asked.number == number) {
                Some(asked) => {
                    interrupted_call = asked.interrupted_call;
                    moments = asked.moments;
                    let wanted = asked.into_wanted();
                    let label = match wanted.request {
                        Request::Take { label } => label,
                        _ => None,
                    };
                    (wanted.trigger, wanted.token, label)
                }
                // It was refused meanwhile, since the program did not answer.
                None => {
                    link.say(&ToTaker::Denied);
                    return;
                }
            },
        };
        moments.entered = at_ns;
        moments.called = now_ns();
        // If the supervisor asked, it looked before.
        let refusal = if ask_was_ours {
            None
        } else {
            let pid = self.live.pid();
            let emulator = self.live.emulator().map(apart::under);
            emulator.or_else(|| self.home.is_left_by_children(pid))
        };
        if let Some(refusal) = refusal {
            link.say(&ToTaker::Denied);
            self.refuse_take(token, trigger, refusal);
            return;
        }
        let pair = AgentLink::<Frozen>::pair().and_then(|pair| {
            let scarce = || std::io::Error::from_raw_os_error(libc::EMFILE);
            if descriptors::are_scarce(&pair.1) {
                Err(scarce())
            } else {
                Ok(pair)
            }
        });
        let (copy, for_copy) = match pair {
            Ok(pair) => pair,
            Err(error) => {
                link.say(&ToTaker::Denied);
                self.refuse_take(token, trigger, no_descriptor_for(&error));
                return;
            }
        };
        let id = self.timeline.next_id();
        let granted = ToTaker::Granted {
            id: id.number(),
            interrupted_call,
            keeper: !self.aspects.keepers.has_live(),
            journal: self.aspects.files.wants_listener(),
        };
        link.hand(&granted, &for_copy);
        self.phase = Phase::Taking(Box::new(Taking {
            id,
            link,
            copy,
            trigger,
            token,
            label,
            moments,
            interrupted_call,
            seen: None,
            gaps: Vec::new(),
            unworded: Vec::new(),
            split: false,
            made: None,
            frozen: None,
            granted: 1,
            splits: 0,
            death: None,
            complete: false,
            is_late: false,
            headway: Headway::begin(PATIENCE_NS),
            stopped: None,
        }));
    }

    /// Limits a time that the live process gave: not before its start, not in the future.
    pub(crate) fn possible_time(&self, told_ns: u64) -> u64 {
        told_ns.max(self.spawned_ns).min(now_ns())
    }

    /// The live process speaks in the middle of a take. False if it has said nothing.
    pub(crate) fn hear_taker(&mut self) -> bool {
        let Phase::Taking(taking) = &mut self.phase else {
            return false;
        };
        if taking.link.is_given_up() {
            return false;
        }
        match taking.link.hear() {
            Heard::Nothing => return false,
            Heard::Message(FromTaker::Parked(counts)) if taking.seen.is_none() => {
                taking.moments.parked = now_ns();
                self.look_at_parked(&counts);
            }
            Heard::Message(FromTaker::Split)
                if taking.seen.is_some() && taking.splits < taking.granted =>
            {
                // It may come after the copy asked for another one.
                taking.splits += 1;
                taking.split = taking.splits == taking.granted;
                // Copying a large program takes time; freezing takes none.
                taking.headway = Headway::begin(PATIENCE_NS);
                self.complete_take();
            }
            Heard::Message(said @ FromTaker::Listener { .. })
                if taking.seen.is_some() && !taking.complete =>
            {
                let descriptor = taking.link.take_passed();
                if let Some(descriptor) = descriptor {
                    self.hear_listener(said, descriptor);
                }
            }
            Heard::Message(FromTaker::Guards) if taking.seen.is_none() => {
                if let Some(memory) = taking.link.take_passed() {
                    self.aspects.files.guards_by(memory);
                }
            }
            Heard::Message(FromTaker::NoListener { errno })
                if taking.seen.is_some() && !taking.complete =>
            {
                self.aspects.files.has_no_listener(errno);
            }
            Heard::Other(FromTaker::Keeper, sender) => self.keeper_has_begun(sender),
            Heard::Message(FromTaker::Running(running)) if taking.complete => {
                // The report may begin a revert, and then the keeper is the dead branch's.
                let has_keeper = self.aspects.keepers.has_live();
                self.report_take(running.at_ns);
                if !has_keeper {
                    self.note("there was no room for a task that keeps the program's memory: a revert takes as long as the kernel needs to give it back");
                }
            }
            Heard::Message(FromTaker::Hindered(mut obstacle)) if !taking.complete => {
                if let Obstacle::Unparked(thread) = &mut obstacle {
                    let outer_pid = self.live.outer_pid();
                    thread.tid = self.outside.number_of_thread(outer_pid, thread.tid);
                }
                self.abandon_take(explain(obstacle));
            }
            // The snapshot is complete anyway.
            Heard::Closed | Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. }
                if taking.complete =>
            {
                self.report_take(now_ns());
            }
            Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. } => {
                self.abandon_take(out_of_turn());
            }
            // The live process has died. A copy that was made still freezes; its own link tells
            // whether.
            Heard::Closed => {
                taking.link.give_up();
                taking.split = true;
            }
        }
        true
    }

    /// Hears all that the live process has said by now.
    fn hear_all_of_taker(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            if !self.hear_taker() {
                return;
            }
        }
    }

    /// The live process has the kernel ask about calls that change files. That holds even if the
    /// take fails.
    fn hear_listener(&mut self, said: FromTaker, fd: OwnedFd) {
        if let FromTaker::Listener {
            no_new_privs,
            is_restricted,
            waits_killable,
        } = said
            && is_listener(&fd)
        {
            self.live.filters_mut().add_ours();
            let listens = self.aspects.files.listen(&fd, is_restricted);
            // In a user namespace such programs have no rights anyway.
            if listens && no_new_privs && !self.outside.is_another() {
                self.note("set-uid programs that the program starts get no rights from here on (no_new_privs): the kernel demands that of a program whose files come back");
            }
            if !waits_killable {
                self.note("this kernel is older than 5.19: a call on files that a signal interrupts may be made twice");
            }
        }
    }

    /// Every thread of the program stands still: looks for what won't roll back, while the copy
    /// is being made. A program that is killed meanwhile may have shown only a part, without the
    /// children that it should wait for after a revert: then there is no snapshot.
    fn look_at_parked(&mut self, counts: &ThreadCounts) {
        if counts.lost_calls > 0 {
            self.note(format!(
                "{} ended early by the snapshot before, with EINTR or with a part of the bytes, since nothing tells how to go on with it",
                match counts.lost_calls {
                    1 => "one call was".to_owned(),
                    calls => format!("{calls} calls were"),
                }
            ));
        }
        let Phase::Taking(taking) = &self.phase else {
            return;
        };
        // Each thread has a list of its own.
        let children = match counts.has_children {
            true => family::all_children(self.live.pid()),
            false => Ok(Vec::new()),
        };
        let family = children.and_then(|children| Ok((self.started(children.clone())?, children)));
        let (started, children) = match family {
            Ok(family) => family,
            Err(error) => {
                self.abandon_take(unseen(&error));
                return;
            }
        };
        let mut still = Standstill {
            id: taking.id,
            pid: self.live.pid(),
            children,
            started,
            outside: &self.outside,
            notes: Vec::new(),
            not_rolled_back: Vec::new(),
        };
        let earlier: Vec<&Kept> = self.timeline.iter().map(|(_, of)| &of.kept).collect();
        let taken = self.aspects.take(&mut still, &earlier);
        let (notes, of_aspects) = (still.notes, still.not_rolled_back);
        for text in notes {
            self.note(text);
        }
        let kept = match taken {
            Ok(kept) => kept,
            Err(refusal) => {
                self.abandon_take(refusal);
                return;
            }
        };
        self.live.stands_still(counts.threads);
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        // If the first thread has ended, `/proc` shows nothing of the program under its number.
        let proc = format!("/proc/{}/task/{}", self.live.pid(), counts.tid);
        let same_ids = self.outside.is_another();
        let findings = preflight::look(&proc, counts, same_ids, &self.config.allow);
        let is_ending = family::is_ending(self.live.pid(), counts.tid);
        let mut not_rolled_back = findings.not_rolled_back;
        not_rolled_back.extend(of_aspects);
        taking.seen = Some(Seen {
            proc,
            maps: findings.maps,
            threads: counts.threads,
            rss_bytes: findings.rss_bytes,
            kept,
            not_rolled_back,
        });
        taking.moments.looked = now_ns();
        let refusal = match is_ending {
            Ok(true) => Some(died_too_early()),
            Ok(false) => findings.refusal,
            Err(error) => findings.refusal.or_else(|| Some(unseen(&error))),
        };
        if let Some(refusal) = refusal {
            self.abandon_take(refusal);
        }
    }

    /// All that the program has started: `children` and below. What it started before an earlier
    /// revert is now a child of the supervisor.
    ///
    /// # Errors
    /// EMFILE and kin: some can't be seen.
    pub(super) fn started(&self, children: Vec<i32>) -> io::Result<HashSet<Process>> {
        let own_pids = self.own_pids();
        let is_programs = |pid: &i32| {
            // The copy may be there already, and nobody has heard of it.
            *pid != self.live.pid() && !own_pids.contains(pid) && !own_processes::contain(*pid)
        };
        let mut beside = family::all_children(nix::unistd::getpid().as_raw())?;
        beside.retain(is_programs);
        Ok(&family::from(children)? | &family::from(beside)?)
    }

    /// The copy lacks memory that forks skip. The next one will have it.
    fn make_another_copy(&mut self) {
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        if taking.granted == MOST_COPIES {
            self.abandon_take(out_of_turn());
            return;
        }
        if let Some(useless) = taking.made.take() {
            self.end_copy(useless);
        }
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        match AgentLink::<Frozen>::pair() {
            Ok((copy, for_copy)) => {
                taking.copy = copy;
                taking.granted += 1;
                taking.split = false;
                let granted = ToTaker::Granted {
                    id: taking.id.number(),
                    interrupted_call: taking.interrupted_call,
                    // The first grant asked for it.
                    keeper: false,
                    journal: false,
                };
                taking.link.hand(&granted, &for_copy);
            }
            Err(_) => self.abandon_take(no_descriptor()),
        }
    }

    /// The copy speaks for the first time. If the sender is no child of ours, there will be no
    /// snapshot.
    fn copy_is_made(&mut self, sender: i32) {
        let child = match self.first_heard(sender) {
            Ok(child) => child,
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                self.abandon_take(out_of_turn());
                return;
            }
            Err(error) => {
                self.abandon_take(no_descriptor_for(&error));
                return;
            }
        };
        if let Phase::Taking(taking) = &mut self.phase {
            taking.copy.bind_to(sender);
            taking.made = Some(child);
            // It may have been stopped with the program's group before we knew of it.
            taking.let_copy_go_on();
        }
    }

    /// A process is about to be reaped. If it is the copy and nobody has heard it yet, only now
    /// can it be known as a child of ours.
    pub(crate) fn hear_unknown_copy(&mut self) {
        if matches!(&self.phase, Phase::Taking(taking) if taking.child().is_none()) {
            self.hear_copy();
        }
    }

    /// The copy speaks.
    pub(crate) fn hear_copy(&mut self) {
        // First hear what the live process said before it made the copy.
        if matches!(&self.phase, Phase::Taking(taking) if taking.seen.is_none()) {
            self.hear_taker();
        }
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        match taking.copy.hear() {
            Heard::Nothing => {}
            Heard::Other(FromFrozen::Made, sender) if taking.child().is_none() => {
                self.copy_is_made(sender);
            }
            Heard::Message(FromFrozen::Ready) if taking.frozen.is_none() => {
                taking.moments.frozen = now_ns();
                taking.frozen = taking.made.take();
                self.complete_take();
            }
            Heard::Message(FromFrozen::Again) if taking.frozen.is_none() => {
                self.make_another_copy();
            }
            Heard::Message(FromFrozen::Gap(gap)) if taking.frozen.is_none() => {
                if !taking.hear_of(&gap) {
                    self.abandon_take(too_many_gaps());
                }
            }
            Heard::Message(FromFrozen::LetGo) => self.aspects.closings.has_let_go(taking.id),
            Heard::Message(FromFrozen::Failed { step, errno }) if taking.frozen.is_none() => {
                self.abandon_take(explain(Obstacle::Failed(step, errno)));
            }
            Heard::Message(FromFrozen::Passed { signal, sender }) if may_be_passed(signal) => {
                let id = taking.id;
                self.passed_on(id, signal, sender);
            }
            Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. } => {
                self.abandon_take(out_of_turn());
            }
            Heard::Closed => self.copy_has_ended(),
        }
    }

    /// The copy was killed; or it was never made, and then the program has said why.
    fn copy_has_ended(&mut self) {
        self.hear_all_of_taker();
        if matches!(&self.phase, Phase::Taking(_)) {
            self.abandon_take(Refusal::failed(
                "the frozen copy was killed before it was complete",
                "a person has done so, or the kernel for want of memory (`dmesg` tells): try again when that is over",
            ));
        }
    }

    /// Adds the snapshot once both sides are done.
    pub(super) fn complete_take(&mut self) {
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        let has_files = self.aspects.files.has_begun(taking.id);
        if taking.split && taking.frozen.is_some() && has_files && !taking.complete {
            taking.complete = true;
            taking.moments.go = now_ns();
            taking.headway = Headway::begin(PATIENCE_NS);
            taking.link.say(&ToTaker::Go {
                id: taking.id.number(),
            });
            if taking.death.is_some() {
                self.report_take(now_ns());
            }
        }
    }

    /// The program runs again: the snapshot is there, and is reported.
    pub(crate) fn report_take(&mut self, running_ns: u64) {
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        let (Some(frozen), Some(seen)) = (taking.frozen.take(), taking.seen.take()) else {
            self.abandon_take(out_of_turn());
            return;
        };
        let Phase::Taking(mut taking) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        if taking.is_late {
            self.late = Some(taking.link);
        }
        let running_ns = running_ns.min(now_ns()).max(taking.moments.asked);
        taking.moments.running = running_ns;
        let latency_us = (running_ns - taking.moments.asked) / 1000;
        let unworded = taking.unworded.iter();
        let unworded = unworded.map(|gap| gaps::tell_by_copy(frozen.pid(), gap));
        let unworded: Vec<NotRolledBack> = unworded.collect();
        // Only now: the copy has left the program's group, and nobody waits.
        let of_ids = ids::look(
            self.live.pid(),
            self.outside.is_another(),
            self.home.has_other_users(self.live.pid()),
            &seen.kept.children.processes,
            frozen.pid(),
        );
        let of_files = self.aspects.files.gaps(&seen.kept.children.processes);
        let facts = SnapshotFacts {
            id: taking.id.number(),
            label: taking.label,
            trigger: taking.trigger,
            latency_us,
            threads: seen.threads,
            // The copy has what the program had.
            rss_bytes: seen
                .rss_bytes
                .or_else(|| preflight::resident_bytes(&format!("/proc/{}", frozen.pid())))
                .unwrap_or_default(),
        };
        self.timeline.push(
            taking.id,
            Snapshot {
                outer_pid: self.outside.number_of(frozen.pid()),
                child: frozen,
                link: taking.copy,
                facts: facts.clone(),
                taken_ns: running_ns,
                origin: self.live.origin(),
                kept: seen.kept,
            },
        );
        let event = Event::Taken(Taken {
            facts,
            depth: self.depth(),
            moments_ns: self.config.moments.then_some(taking.moments),
            not_rolled_back: taking
                .gaps
                .into_iter()
                .chain(unworded)
                .chain(seen.not_rolled_back)
                .chain(of_files)
                .chain(of_ids)
                .collect(),
        });
        self.event(event.clone());
        self.answer(taking.token, Answer::Done(event));
        self.drop_oldest_automatic();
        self.after_take(taking.death);
    }

    /// Hears the program's last words on a take that is over.
    pub(crate) fn hear_late(&mut self) {
        let Some(link) = &self.late else {
            return;
        };
        let LastWords {
            keeper,
            passed,
            is_over,
        } = link.hear_last_words();
        if is_over {
            self.late = None;
        }
        if let Some((said, descriptor)) = passed {
            self.hear_listener(said, descriptor);
        }
        if let Some(sender) = keeper {
            self.keeper_has_begun(sender);
        }
    }

    /// There will be no snapshot; the program goes on.
    pub(super) fn abandon_take(&mut self, refusal: Refusal) {
        let Phase::Taking(taking) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        let refusal = match taking.death {
            Some(_) => died_too_early(),
            None => refusal,
        };
        taking.link.say(&ToTaker::Denied);
        // It may be about to make a keeper.
        self.late = (!taking.link.is_given_up()).then_some(taking.link);
        let kept = taking.seen.map(|seen| seen.kept);
        self.undo_take(kept.as_ref());
        // If somebody holds it up, it can't see that it is unwanted.
        match taking.frozen.or(taking.made) {
            Some(copy) => self.end_copy(copy),
            None => self.end_when_heard(taking.copy),
        }
        self.refuse_take(taking.token, taking.trigger, refusal);
        self.after_take(taking.death);
    }

    /// The live process has died in the middle of a take. Its copy will say whether there is a
    /// snapshot, or hang up: it has the only other end of its link.
    pub(crate) fn taker_died(&mut self, death: Death) {
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        taking.death = Some(death);
        let LastWords { keeper, passed, .. } = taking.link.hear_last_words();
        taking.link.give_up();
        taking.split = true;
        taking.let_copy_go_on();
        taking.headway = Headway::begin(PATIENCE_NS);
        let is_complete = taking.frozen.is_some();
        // The copy has the filter too.
        if let Some((said, descriptor)) = passed {
            self.hear_listener(said, descriptor);
        }
        if let Some(sender) = keeper {
            self.keeper_has_begun(sender);
        }
        if is_complete {
            self.report_take(now_ns());
        }
    }

    /// A take is over, with or without a snapshot: serves what has waited for that.
    fn after_take(&mut self, death: Option<Death>) {
        self.signal_request();
        if let Some((via, asked_ns)) = self.interrupt_after_take.take() {
            self.act_later(via, asked_ns);
        }
        if let Some(death) = death {
            self.branch_died(death);
        }
    }

    /// Says that there is no snapshot, to everybody who should know.
    pub(crate) fn refuse_take(&mut self, token: Option<u64>, trigger: Trigger, refusal: Refusal) {
        let what = format!("cannot snapshot `{}`", self.config.session);
        self.refuse(token, &what, &refusal.why, &refusal.help);
        self.event(Event::Refused(Refused { trigger, refusal }));
    }

    /// The answer to the library: all snapshots under the program.
    pub(crate) fn listing_for_agent(&self) -> ToCaller {
        let mut ids = [0; LISTED];
        let under = self.ids().into_iter().take(self.timeline.depth());
        for (slot, id) in ids.iter_mut().zip(under) {
            *slot = id;
        }
        ToCaller::Done {
            depth: self.depth(),
            ids,
        }
    }
}
