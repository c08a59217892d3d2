//! A revert: asks the target's copy whether it can come back, ends and reaps the live branch
//! and everything newer than the target, puts the terminal back, and wakes the target
//! ([`super::waking`]).
//!
//! If a person asks for it, the branch ends only after the copy has answered. If the branch has
//! ended by itself, asking and ending happen at once.

use crate::supervisor::{
    aspects::{aspect::Resumed, list::Kept},
    live::Origin,
    under_way::reverting::{Manner, Reverting, Stage},
};

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{geteuid, getpid};
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, Running, SnapshotId};
use snapshot_core::wire::{Caller, Frozen, ToCaller, ToFrozen};

use crate::processes::{
    child::Child,
    family::{self, Leftover},
};
use crate::refusal::obstacles::not_restored;
use crate::supervisor::{
    config::Group,
    links::AgentLink,
    state::{Phase, Supervisor},
    under_way::{spare::Spare, waking::Waking},
};
use crate::talk::{
    channel::ToLauncher,
    control::Answer,
    counted::counted,
    event::{BranchEnded, Event, Reverted},
};

/// How long the launcher may take to put its group in front.
const FRONT_NS: u64 = 1_000_000_000;

impl Supervisor {
    /// Begins a revert. False if there is no such snapshot.
    pub(crate) fn begin_revert(
        &mut self,
        id: Option<SnapshotId>,
        manner: Manner,
        ended: Ended,
        asked_ns: u64,
        token: Option<u64>,
    ) -> bool {
        let Some(plan) = self.timeline.plan_revert(id) else {
            return false;
        };
        // Left by a waiting revert.
        self.end_spare();
        let reverting = Reverting::begin(plan.target, manner, ended, asked_ns, token);
        self.phase = Phase::Reverting(Box::new(reverting));
        self.prepare();
        if !self.live.is_alive() {
            self.end_branch();
        }
        true
    }

    /// The program waits for a revert that it asked for.
    pub(crate) fn revert_called(&mut self, link: AgentLink<Caller>) {
        if let Phase::Reverting(reverting) = &mut self.phase {
            reverting.caller = Some(link);
        }
    }

    /// Ends the branch, and everything newer than the target.
    pub(crate) fn end_branch(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        reverting.stage = Stage::Clearing;
        let target = reverting.target;
        let plan = match reverting.ahead {
            true => None,
            false => self.timeline.plan_revert(Some(target)),
        };
        let dropped = plan.map_or_else(Vec::new, |plan| plan.dropped);
        reverting.dropped = dropped.iter().map(|id| id.number()).collect();
        self.signal_live(Signal::SIGKILL);
        // The branch may be the last in the program's group.
        if let Some(anchor) = &self.anchor {
            anchor.join();
        }
        self.hear_late();
        self.aspects.branch_ends();
        self.sent_interrupts.clear();
        // An open request to the branch goes to its successor.
        if let Some(asked) = self.asked.take() {
            self.live.keep_trigger(asked.by_trigger);
            self.waiting.push_front(asked.into_wanted());
        }
        for id in dropped {
            if let Some(snapshot) = self.forget(id) {
                self.end_snapshot(snapshot);
            }
        }
        self.timeline.goes_on_from(target);
        for caller in std::mem::take(&mut self.callers) {
            self.salvage(&caller);
        }
        self.clear_branch();
    }

    /// There is no revert: the branch goes on, and whoever asked hears why.
    pub(crate) fn refuse_revert(&mut self, cause: &str, help: &str) {
        self.end_spare();
        let Phase::Reverting(reverting) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        if let Some(caller) = reverting.caller {
            caller.say(&ToCaller::Denied);
        }
        let target = reverting.target;
        let what = match reverting.keep {
            true => format!("cannot revert to {target} and keep it"),
            false => format!("cannot revert to {target}"),
        };
        self.note(format!("{what}; the program goes on: {cause}; {help}"));
        self.refuse(reverting.token, &what, cause, help);
    }

    /// The branch has ended in the middle of a revert.
    pub(crate) fn branch_has_ended(&mut self) {
        match &self.phase {
            Phase::Reverting(reverting) if matches!(reverting.stage, Stage::Preparing) => {
                self.end_branch();
            }
            _ => self.clear_branch(),
        }
    }

    /// Goes on with the clearing: wakes the target once all killed processes are reaped, the
    /// branch has none left and the copy has answered.
    pub(crate) fn clear_branch(&mut self) {
        let is_left = !self.is_all_reaped();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if !matches!(reverting.stage, Stage::Clearing) || !reverting.is_settled() || is_left {
            return;
        }
        let target = reverting.target;
        let family::Signalled {
            got: leftovers,
            out_of_reach,
        } = self.end_leftovers(Some(target));
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if !leftovers.is_empty() {
            for leftover in leftovers {
                if !reverting
                    .leftovers
                    .iter()
                    .any(|known| known.pid == leftover.pid)
                {
                    reverting.leftovers.push(leftover);
                }
            }
            return;
        }
        if self.waits_for_files() || self.waits_for_the_front() {
            return;
        }
        if let Some(text) = family::name_out_of_reach(&out_of_reach) {
            self.note(text);
        }
        self.wake();
    }

    /// Whether the launcher still has to put its own group in front of the terminal. Asks it
    /// once, and looks again soon.
    fn waits_for_the_front(&mut self) -> bool {
        let Phase::Reverting(reverting) = &self.phase else {
            return false;
        };
        let target = reverting.target;
        let is_to_come = self.config.group == Group::Launchers
            && self.timeline.get(target).is_some_and(|snapshot| {
                let screen = &snapshot.kept.screens;
                self.aspects.screens.wants_the_launcher(screen)
            });
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        if !is_to_come {
            return false;
        }
        let asked = reverting.front_until_ns;
        let until_ns = asked.unwrap_or_else(|| now_ns() + FRONT_NS);
        reverting.front_until_ns = Some(until_ns);
        if asked.is_none() {
            self.tell(&ToLauncher::ComeToFront);
        }
        now_ns() < until_ns
    }

    /// Whether the branch and every dying copy are gone.
    pub(crate) fn is_all_reaped(&self) -> bool {
        !self.live.is_alive()
            && self.dying.is_empty()
            && self.silent_copies_until(now_ns()).is_none()
    }

    /// Kills what the program has started since a snapshot, or all that it has started.
    pub(crate) fn end_leftovers(&self, since: Option<SnapshotId>) -> family::Signalled {
        let family = since
            .and_then(|id| self.timeline.get(id))
            .map(|snapshot| &snapshot.kept.children.processes);
        let keep =
            |process: family::Process| family.is_some_and(|family| family.contains(&process));
        let own = getpid().as_raw();
        let mut leftovers = family::signal_below(own, Signal::SIGKILL, &self.own_pids(), &keep);
        self.see_from_outside(&mut leftovers.got);
        leftovers
    }

    /// Fills in their numbers outside, while they still have any.
    pub(crate) fn see_from_outside(&self, leftovers: &mut [Leftover]) {
        for leftover in leftovers {
            match self.outside.number_of(leftover.pid) {
                0 => {}
                number => leftover.outer_pid = number,
            }
        }
    }

    fn wake(&mut self) {
        // Unanswered calls of the dead branch.
        while let Some((caller, _)) = self.switchboard.accept() {
            self.salvage(&caller);
        }
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        let (target, ended) = (reverting.target, reverting.ended);
        if let Some(snapshot) = self.timeline.get(target) {
            self.aspects.revert(&snapshot.kept, ended);
            self.aspects.children.notices().reverts();
        }
        self.make_spare();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Some(snapshot) = self.timeline.get(target) else {
            return;
        };
        // A stop of the whole group has reached the copy too.
        snapshot.child.signal(libc::SIGCONT);
        let word = ToFrozen::Revive {
            asked_ns: reverting.asked_ns,
            ended: reverting.ended,
            same_ids: self.outside.is_another().then(|| {
                // Root may choose its number outside.
                if geteuid().is_root() {
                    snapshot.origin.outer_pid()
                } else {
                    0
                }
            }),
        };
        if let Some(anchor) = self.anchor.as_ref().filter(|_| !self.outside.is_another()) {
            anchor.guard(&snapshot.child);
        }
        snapshot.link.say(&word);
        reverting.stage = Stage::Waking(Waking::begin());
        self.aspects.waking();
    }

    /// The program runs again: reports, and serves what has waited.
    pub(crate) fn finish_revert(&mut self, running: Running) {
        self.hear_spare();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Stage::Waking(waking) = std::mem::replace(&mut reverting.stage, Stage::Clearing) else {
            return;
        };
        let spare = reverting.spare.take_if(|_| reverting.keep);
        self.end_spare();
        let Phase::Reverting(reverting) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        let target = reverting.target;
        let spare = spare.and_then(Spare::into_parts);
        let was_kept = spare.is_some();
        let Some((child, used_up)) = self.leave_behind(target, spare) else {
            self.broken("the snapshot that came back is not in the timeline");
            return;
        };
        let snapshot = self.timeline.get(target);
        let records = snapshot.map(|snapshot| (&snapshot.origin, &snapshot.kept));
        let Some((origin, kept)) = used_up.as_ref().map(|(of, kept)| (of, kept)).or(records) else {
            return;
        };
        let child = waking.became.unwrap_or(child);
        self.live
            .goes_on_as(child, waking.outer_pid, origin, &self.outside);
        if let Some(anchor) = &self.anchor {
            anchor.leave();
        }
        let mut news = Resumed::of(target, self.live.child());
        self.aspects.resumed(kept, &mut news);
        if let Some(signal) = waking.stopped_by {
            self.signal_live(signal);
        }
        self.event(Event::Ended(BranchEnded {
            id_reverted_to: target.number(),
            ended: reverting.ended,
            crash: None,
        }));
        for id in reverting.dropped {
            self.event(Event::Dropped { id });
        }
        let event = Event::Reverted(Reverted {
            id: target.number(),
            depth: self.depth(),
            kept: was_kept,
            live_pid: self.live.outer_pid(),
            latency_us: running
                .at_ns
                .min(now_ns())
                .saturating_sub(reverting.asked_ns)
                / 1000,
            same_ids: running.renewed == 0,
            children_kept: news.children_kept,
            children_ended: news.children_ended,
        });
        self.event(event.clone());
        for text in news.notes {
            self.note(text);
        }
        if let Some(text) = name_leftovers(&reverting.leftovers) {
            self.note(text);
        }
        if running.renewed > 0 && self.outside.is_another() {
            self.note(renewed(running.renewed, waking.stayed));
        }
        for (part, count) in waking.not_restored {
            self.note(not_restored(part, count));
        }
        self.answer(reverting.token, Answer::Done(event));
        self.aspects.settled();
    }

    /// Returns this snapshot's copy, which is the program now. The spare replaces it. Without
    /// one the snapshot is used up, and its records are returned too.
    fn leave_behind(
        &mut self,
        target: SnapshotId,
        spare: Option<(AgentLink<Frozen>, Child)>,
    ) -> Option<(Child, Option<(Origin, Kept)>)> {
        let Some((link, child)) = spare else {
            let snapshot = self.forget(target)?;
            return Some((snapshot.child, Some((snapshot.origin, snapshot.kept))));
        };
        let snapshot = self.timeline.get_mut(target)?;
        snapshot.link = link;
        snapshot.outer_pid = self.outside.number_of(child.pid());
        Some((std::mem::replace(&mut snapshot.child, child), None))
    }

    /// Acts on deadlines that have passed.
    pub(crate) fn check_revert_deadline(&mut self, now: u64) {
        let woken = self.woken_pid();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if let Some(lost) = reverting.lost_copy.take_if(|lost| now >= lost.until_ns) {
            self.replace_copy(&lost.how);
            return;
        }
        if reverting.lost_copy.is_some() {
            return;
        }
        let is_settled = reverting.is_settled();
        match &mut reverting.stage {
            Stage::Preparing | Stage::Settling => {
                if reverting.patience.is_over(woken, now) {
                    self.copy_is_silent();
                }
            }
            Stage::Clearing if !is_settled => {
                if reverting.patience.is_over(woken, now) {
                    self.copy_is_silent();
                }
            }
            Stage::Clearing => self.clear_branch(),
            Stage::Waking(waking) => {
                // It may have much to put back, but then it makes headway.
                if waking.is_over(woken, now) {
                    self.woken_is_silent();
                }
            }
            Stage::Waiting { until_ns } => {
                if now >= *until_ns {
                    self.try_again();
                }
            }
        }
    }
}

/// Why some ids are not the same.
fn renewed(count: u32, stayed: Option<i32>) -> String {
    let why = match stayed {
        Some(libc::EPERM) => {
            "the program has given up the right to choose them (CAP_CHECKPOINT_RESTORE)".to_owned()
        }
        Some(libc::EEXIST) => {
            "its number is still that of another process, or of a process group or session that others are in".to_owned()
        }
        Some(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        None => "other processes have them now".to_owned(),
    };
    let what = match (stayed, count) {
        (Some(_), _) => "the program has new ids".to_owned(),
        (None, 1) => "one thread has a new id".to_owned(),
        (None, count) => format!("{count} threads have new ids"),
    };
    format!("{what}: {why}")
}

/// `ended 2 processes the branch had started: sleep (123), make (124)`
pub(crate) fn name_leftovers(leftovers: &[Leftover]) -> Option<String> {
    if leftovers.is_empty() {
        return None;
    }
    let count = counted(leftovers.len(), "process");
    Some(format!(
        "ended {count} that the program had started: {}",
        family::names_of(leftovers)
    ))
}
