//! A revert: the live branch and everything newer than the target end, all of it is
//! reaped, the terminal is put back, and the target is woken.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};
use snapshot_core::SnapshotId;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::{Ended as EndedWord, FromAgent, FromSupervisor, Obstacle, Step};

use super::asking::Asked;
use super::family::{self, Stray};
use super::links::{AgentLink, Heard};
use super::obstacles::explain;
use super::state::{Phase, Supervisor};
use crate::control::Answer;
use crate::event::{Ended, Event, How, Reverted};

/// How long a woken copy may take to run.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Where a revert stands.
enum Stage {
    /// The branch is being ended.
    Clearing,
    /// The target has been woken.
    Waking {
        deadline_ns: u64,
        running_ns: Option<u64>,
        /// The copy that stays behind, if one is to: its link and its pid.
        kept: Option<(AgentLink, Option<i32>)>,
    },
}

/// A revert under way.
pub(crate) struct Reverting {
    target: SnapshotId,
    keep: bool,
    asked_ns: u64,
    ended: EndedWord,
    token: Option<u64>,
    dropped: Vec<u32>,
    strays: Vec<Stray>,
    /// How many recorded things the revived copy could not put back.
    not_restored: u32,
    stage: Stage,
}

impl Reverting {
    /// The link of the copy that stays behind, while it is awaited.
    pub(crate) fn kept_link(&self) -> Option<&AgentLink> {
        match &self.stage {
            Stage::Waking {
                kept: Some((link, None)),
                ..
            } => Some(link),
            _ => None,
        }
    }

    pub(crate) fn target(&self) -> SnapshotId {
        self.target
    }

    /// When to look again. `reaped`: all that was killed is gone, strays apart.
    pub(crate) fn deadline(&self, reaped: bool) -> Option<u64> {
        match self.stage {
            // Strays are looked for again until there are none.
            Stage::Clearing => reaped.then(|| now_ns() + 1_000_000),
            Stage::Waking { deadline_ns, .. } => Some(deadline_ns),
        }
    }
}

impl Supervisor {
    /// Begins a revert. False where there is no such snapshot.
    pub(crate) fn begin_revert(
        &mut self,
        id: Option<SnapshotId>,
        keep: bool,
        ended: EndedWord,
        asked_ns: u64,
        token: Option<u64>,
    ) -> bool {
        let Some(plan) = self.timeline.plan_revert(id) else {
            return false;
        };
        self.signal_live(Signal::SIGKILL);
        self.owed.clear();
        // What the supervisor has asked of the branch is asked again of what follows.
        if let Some(wanted) = self.asked.take().map(Asked::into_wanted) {
            self.waiting.push_front(wanted);
            self.live.trigger_is_kept = true;
        }
        for id in &plan.dropped {
            if let Some(snapshot) = self.timeline.remove(*id) {
                self.end_copy(snapshot.pid);
            }
        }
        self.phase = Phase::Reverting(Reverting {
            target: plan.target,
            keep,
            asked_ns,
            ended,
            token,
            dropped: plan.dropped.iter().map(|id| id.number()).collect(),
            strays: Vec::new(),
            not_restored: 0,
            stage: Stage::Clearing,
        });
        for caller in std::mem::take(&mut self.callers) {
            self.salvage(&caller);
        }
        self.clear_branch();
        true
    }

    /// Goes on with the clearing: once all that was killed is reaped and no stray is
    /// left, the target is woken.
    pub(crate) fn clear_branch(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if !matches!(reverting.stage, Stage::Clearing)
            || self.live.is_alive
            || !self.dying.is_empty()
        {
            return;
        }
        let target = reverting.target;
        let strays = self.end_strays(Some(target));
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if !strays.is_empty() {
            for stray in strays {
                if !reverting.strays.iter().any(|known| known.pid == stray.pid) {
                    reverting.strays.push(stray);
                }
            }
            return;
        }
        self.wake();
    }

    /// Kills what the program has started since a snapshot, or all that it has started.
    pub(crate) fn end_strays(&self, since: Option<SnapshotId>) -> Vec<Stray> {
        let family = since
            .and_then(|id| self.timeline.get(id))
            .map(|snapshot| &snapshot.family);
        let keep = |process: family::Process| {
            self.anchor
                .is_some_and(|anchor| anchor.as_raw() == process.pid)
                || self.snapshot_of(process.pid).is_some()
                || self.dying.contains(&process.pid)
                || family.is_some_and(|family| family.contains(&process))
        };
        family::signal_below(getpid().as_raw(), Signal::SIGKILL, &keep)
    }

    fn wake(&mut self) {
        // Calls that the dead branch has made and nobody has answered.
        while let Some((caller, _)) = self.switchboard.accept() {
            self.salvage(&caller);
        }
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Some(snapshot) = self.timeline.get(reverting.target) else {
            return;
        };
        if let (Some(terminal), Some(screen)) = (&self.terminal, &snapshot.screen) {
            screen.restore(terminal, reverting.ended == EndedWord::Interrupted);
        }
        // A stop that was sent to the whole group has reached the copy too.
        let _ = kill(Pid::from_raw(snapshot.pid), Signal::SIGCONT);
        let mut kept = None;
        let mut for_kept = None;
        if reverting.keep {
            match AgentLink::pair() {
                Ok((ours, theirs)) => {
                    kept = Some((ours, None));
                    for_kept = Some(theirs);
                }
                Err(_) => reverting.keep = false,
            }
        }
        let word = FromSupervisor::Revive {
            keep: for_kept.is_some(),
            asked_ns: reverting.asked_ns,
            ended: reverting.ended,
        };
        match &for_kept {
            Some(theirs) => snapshot.link.hand(&word, theirs),
            None => snapshot.link.say(&word),
        }
        reverting.stage = Stage::Waking {
            deadline_ns: now_ns() + PATIENCE_NS,
            running_ns: None,
            kept,
        };
    }

    /// The woken copy speaks.
    pub(crate) fn hear_woken(&mut self, message: FromAgent) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        match message {
            FromAgent::Running {
                at_ns,
                not_restored,
            } => {
                if let Stage::Waking { running_ns, .. } = &mut reverting.stage {
                    *running_ns = Some(at_ns);
                }
                reverting.not_restored = not_restored;
                self.finish_revert();
            }
            FromAgent::Hindered(obstacle @ Obstacle::Failed(Step::Revive, _)) => {
                let target = reverting.target;
                let (_, why, _) = explain(obstacle);
                self.note(format!("{target} can't be brought back to life: {why}"));
                // It will be reaped, and then counts as dead.
                if let Some(snapshot) = self.timeline.get(target) {
                    let _ = kill(Pid::from_raw(snapshot.pid), Signal::SIGKILL);
                }
            }
            // It could not leave a copy behind: then it is woken without.
            FromAgent::Hindered(_) => {
                reverting.keep = false;
                let target = reverting.target;
                self.note(format!(
                    "{target} can't be kept: there is no room for another copy; going on without"
                ));
                self.wake();
            }
            _ => {}
        }
    }

    /// The copy that stays behind speaks.
    pub(crate) fn hear_kept(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Stage::Waking {
            kept: Some((link, pid)),
            ..
        } = &mut reverting.stage
        else {
            return;
        };
        match link.hear() {
            Heard::Message(FromAgent::Ready { pid: frozen }) => {
                *pid = Some(frozen);
                self.finish_revert();
            }
            Heard::Message(_) | Heard::Nothing => {}
            // It was killed before it was complete: then nothing is kept.
            Heard::Closed => {
                reverting.keep = false;
                if let Stage::Waking { kept, .. } = &mut reverting.stage {
                    *kept = None;
                }
                self.finish_revert();
            }
        }
    }

    /// The woken copy has ended: what it has said before that is still to be heard, and
    /// the copy that it left behind, if it did, will speak in a moment.
    pub(crate) fn hear_last_words_of_woken(&mut self) {
        loop {
            let Phase::Reverting(reverting) = &self.phase else {
                return;
            };
            let Some(snapshot) = self.timeline.get(reverting.target) else {
                return;
            };
            match snapshot.link.hear() {
                Heard::Message(message) => self.hear_woken(message),
                Heard::Nothing | Heard::Closed => break,
            }
        }
        let deadline = now_ns() + PATIENCE_NS;
        while let Phase::Reverting(reverting) = &self.phase
            && let Stage::Waking {
                running_ns: Some(_),
                kept: Some((link, None)),
                ..
            } = &reverting.stage
            && now_ns() < deadline
        {
            super::run::wait_readable(link, deadline);
            self.hear_kept();
        }
    }

    /// The program runs again: reports, and goes on with what has waited.
    fn finish_revert(&mut self) {
        let Phase::Reverting(Reverting {
            stage:
                Stage::Waking {
                    running_ns: Some(running_ns),
                    kept,
                    ..
                },
            keep,
            ..
        }) = &self.phase
        else {
            return;
        };
        let running_ns = *running_ns;
        if *keep && !matches!(kept, Some((_, Some(_)))) {
            return;
        }
        let Phase::Reverting(reverting) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        let old_pid = self.live.pid;
        let size_differs = self
            .timeline
            .get(reverting.target)
            .and_then(|snapshot| snapshot.screen.as_ref())
            .zip(self.terminal.as_ref())
            .is_some_and(|(screen, terminal)| screen.size_differs(terminal));
        let kept = match reverting.stage {
            Stage::Waking {
                kept: Some((link, Some(pid))),
                ..
            } => Some((link, pid)),
            _ => None,
        };
        let was_kept = kept.is_some();
        match (kept, self.timeline.get_mut(reverting.target)) {
            (Some((link, pid)), Some(snapshot)) => {
                self.live.pid = snapshot.pid;
                snapshot.link = link;
                snapshot.pid = pid;
            }
            _ => {
                if let Some(snapshot) = self.timeline.remove(reverting.target) {
                    self.live.pid = snapshot.pid;
                }
            }
        }
        self.live.is_alive = true;
        self.live.has_agent = true;
        self.live.trigger_is_kept = false;
        if size_differs {
            self.signal_live(Signal::SIGWINCH);
        }
        let (how, code, signal) = match reverting.ended {
            EndedWord::Exited(code) => (How::Exit, Some(code), None),
            EndedWord::Killed(signal) => (How::Signal, None, Some(signal)),
            EndedWord::Reverted => (How::Revert, None, None),
            EndedWord::Interrupted => (How::Interrupt, None, None),
        };
        self.event(Event::Ended(Ended {
            id_reverted_to: reverting.target.number(),
            how,
            code,
            signal,
            crash: None,
        }));
        for id in reverting.dropped {
            self.event(Event::Dropped { id });
        }
        let event = Event::Reverted(Reverted {
            id: reverting.target.number(),
            depth: self.depth(),
            kept: was_kept,
            live_pid: self.live.pid,
            latency_us: running_ns.saturating_sub(reverting.asked_ns) / 1000,
            same_ids: old_pid == self.live.pid,
        });
        self.event(event.clone());
        if let Some(text) = name_strays(&reverting.strays) {
            self.note(text);
        }
        if reverting.not_restored > 0 {
            self.note(format!(
                "{} that the kernel keeps for the program could not be put back: a limit or a permission has changed since the snapshot",
                match reverting.not_restored {
                    1 => "one thing".to_owned(),
                    count => format!("{count} things"),
                }
            ));
        }
        self.answer(reverting.token, Answer::Done(event));
    }

    /// The copy that was to go on is gone: the next older one takes its place.
    pub(crate) fn target_died(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let target = reverting.target;
        let (asked_ns, ended, token) = (reverting.asked_ns, reverting.ended, reverting.token);
        self.timeline.remove(target);
        self.event(Event::Dropped {
            id: target.number(),
        });
        self.note(format!("{target} died as it was woken"));
        self.phase = Phase::Running;
        if !self.begin_revert(None, false, ended, asked_ns, token) {
            self.broken("no snapshot is left to go on from");
        }
    }

    pub(crate) fn check_revert_deadline(&mut self, now: u64) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        match reverting.stage {
            Stage::Waking { deadline_ns, .. } if now >= deadline_ns => {
                // It will be reaped, and then counts as dead.
                if let Some(snapshot) = self.timeline.get(reverting.target) {
                    let _ = kill(Pid::from_raw(snapshot.pid), Signal::SIGKILL);
                }
            }
            Stage::Clearing => self.clear_branch(),
            Stage::Waking { .. } => {}
        }
    }
}

/// `ended 2 processes the branch had started: sleep (123), make (124)`
pub(crate) fn name_strays(strays: &[Stray]) -> Option<String> {
    if strays.is_empty() {
        return None;
    }
    let names: Vec<String> = strays
        .iter()
        .map(|stray| format!("{} ({})", stray.name, stray.pid))
        .collect();
    let count = match strays.len() {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    Some(format!(
        "ended {count} that the program had started: {}",
        names.join(", ")
    ))
}
