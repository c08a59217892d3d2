//! A revert: the live branch and everything newer than the target end, all of it is
//! reaped, the terminal is put back, and the target is woken.

use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{geteuid, getpid};
use snapshot_core::SnapshotId;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::{
    Ended as EndedWord, FromAgent, FromSupervisor, Obstacle, Part, Running, Step,
};

use super::child::Child;
use super::family::{self, Stray};
use super::links::{AgentLink, Heard, MOST_AT_ONCE};
use super::obstacles::{explain, not_restored};
use super::run::Word;
use super::state::{Group, Phase, Supervisor};
use crate::channel::ToLauncher;
use crate::control::Answer;
use crate::counted::counted;
use crate::event::{Ended, Event, How, Reverted};

/// How long a woken copy may take to run.
const PATIENCE_NS: u64 = 10_000_000_000;

/// How long the launcher may take to put its group in front.
const FRONT_NS: u64 = 1_000_000_000;

/// Where a revert stands.
enum Stage {
    /// The branch is being ended.
    Clearing,
    /// The target has been woken.
    Waking {
        deadline_ns: u64,
        /// What the woken copy had done when it was last looked at.
        work: Option<[u64; 4]>,
        running: Option<Running>,
        /// It goes on under this number: what it is now will end.
        becoming: Option<i32>,
        /// It does, and this is what it is now.
        became: Option<Child>,
        /// The copy that stays behind, if one is to.
        kept: Option<Kept>,
    },
}

/// The copy that stays behind.
struct Kept {
    link: AgentLink,
    /// Once it has spoken.
    child: Option<Child>,
    /// It has recorded everything and sleeps.
    is_ready: bool,
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
    /// Why the revived copy has another id, if it has.
    stayed: Option<i32>,
    /// What could not be put back.
    not_restored: Vec<(Part, u32)>,
    stage: Stage,
}

impl Reverting {
    /// The link of the copy that stays behind, while it is awaited.
    pub(crate) fn kept_link(&self) -> Option<&AgentLink> {
        match &self.stage {
            Stage::Waking {
                kept: Some(kept), ..
            } if !kept.is_ready => Some(&kept.link),
            _ => None,
        }
    }

    /// Whether this is the process of the copy that stays behind.
    pub(crate) fn is_kept(&self, pid: i32) -> bool {
        match &self.stage {
            Stage::Waking {
                kept: Some(kept), ..
            } => kept.child.as_ref().is_some_and(|kept| kept.pid() == pid),
            _ => false,
        }
    }

    /// Whether this snapshot's copy has been woken.
    pub(crate) fn is_waking(&self, id: SnapshotId) -> bool {
        self.target == id && matches!(self.stage, Stage::Waking { .. })
    }

    /// Whether it has come to life.
    pub(crate) fn runs(&self, id: SnapshotId) -> bool {
        let runs = |stage: &Stage| {
            matches!(
                stage,
                Stage::Waking {
                    running: Some(_),
                    ..
                }
            )
        };
        self.target == id && runs(&self.stage)
    }

    fn add_not_restored(&mut self, part: Part, count: u32) {
        match self
            .not_restored
            .iter_mut()
            .find(|(known, _)| *known == part)
        {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.not_restored.push((part, count)),
        }
    }

    fn set_becoming(&mut self, now: Option<i32>) {
        if let Stage::Waking { becoming, .. } = &mut self.stage {
            *becoming = now;
        }
    }

    /// Which process the woken copy goes on as, if in another one: then its own end is no
    /// loss.
    pub(crate) fn becoming(&self) -> Option<i32> {
        match self.stage {
            Stage::Waking { becoming, .. } => becoming,
            Stage::Clearing => None,
        }
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
        // With the branch the last one may leave that is in the program's group.
        if let Some(anchor) = &self.anchor {
            anchor.join();
        }
        self.keepers.branch_ends();
        self.owed.clear();
        // What the supervisor has asked of the branch is asked again of what follows.
        if let Some(asked) = self.asked.take() {
            self.live.trigger_is_kept = asked.by_trigger;
            self.waiting.push_front(asked.into_wanted());
        }
        for id in &plan.dropped {
            if let Some(snapshot) = self.timeline.remove(*id) {
                self.end_snapshot(snapshot);
            }
        }
        self.phase = Phase::Reverting(Box::new(Reverting {
            target: plan.target,
            keep,
            asked_ns,
            ended,
            token,
            dropped: plan.dropped.iter().map(|id| id.number()).collect(),
            strays: Vec::new(),
            stayed: None,
            not_restored: Vec::new(),
            stage: Stage::Clearing,
        }));
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
        let keep =
            |process: family::Process| family.is_some_and(|family| family.contains(&process));
        let own = getpid().as_raw();
        let mut strays = family::signal_below(own, Signal::SIGKILL, &self.own_pids(), &keep);
        self.see_from_outside(&mut strays);
        strays
    }

    /// Fills in by which numbers they are known outside, while they still are.
    pub(super) fn see_from_outside(&self, strays: &mut [Stray]) {
        for stray in strays {
            match self.outside.number_of(stray.pid) {
                0 => {}
                number => stray.outer_pid = number,
            }
        }
    }

    fn wake(&mut self) {
        // Calls that the dead branch has made and nobody has answered.
        while let Some((caller, _)) = self.switchboard.accept() {
            self.salvage(&caller);
        }
        self.restore_screen();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let target = reverting.target;
        self.adopt_children(target);
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Some(snapshot) = self.timeline.get(target) else {
            return;
        };
        // A stop that was sent to the whole group has reached the copy too.
        snapshot.child.signal(libc::SIGCONT);
        let mut kept = None;
        let mut for_kept = None;
        if reverting.keep {
            match AgentLink::pair() {
                Ok((ours, theirs)) => {
                    kept = Some(Kept {
                        link: ours,
                        child: None,
                        is_ready: false,
                    });
                    for_kept = Some(theirs);
                }
                Err(_) => reverting.keep = false,
            }
        }
        let word = FromSupervisor::Revive {
            keep: for_kept.is_some(),
            asked_ns: reverting.asked_ns,
            ended: reverting.ended,
            same_ids: self.outside.is_another().then(|| {
                // Root may choose that one too.
                if geteuid().is_root() {
                    snapshot.live_outer_pid
                } else {
                    0
                }
            }),
        };
        if let Some(anchor) = self.anchor.as_ref().filter(|_| !self.outside.is_another()) {
            anchor.guard(&snapshot.child);
        }
        match &for_kept {
            Some(theirs) => snapshot.link.hand(&word, theirs),
            None => snapshot.link.say(&word),
        }
        reverting.stage = Stage::Waking {
            deadline_ns: now_ns() + PATIENCE_NS,
            work: None,
            running: None,
            becoming: None,
            became: None,
            kept,
        };
    }

    /// Whether this is the woken copy, under the number that it has said it would have: it
    /// speaks for the first time.
    pub(crate) fn has_become(&mut self, sender: i32) -> bool {
        if self.becoming() != Some(sender) {
            return false;
        }
        let newcomer = self.newcomer(sender);
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        let Stage::Waking { became, .. } = &mut reverting.stage else {
            return false;
        };
        match (newcomer, self.timeline.get(reverting.target)) {
            (Ok(child), Some(snapshot)) if became.is_none() => {
                snapshot.link.bind_to(sender);
                *became = Some(child);
                true
            }
            _ => false,
        }
    }

    /// The number that the woken copy goes on under, if another one.
    fn becoming(&self) -> Option<i32> {
        match &self.phase {
            Phase::Reverting(reverting) => reverting.becoming(),
            _ => None,
        }
    }

    /// Ends the woken copy, whichever of its two processes it is. It will be reaped, and
    /// then counts as dead. False where neither is there any more.
    pub(crate) fn end_woken(&self) -> bool {
        let Phase::Reverting(reverting) = &self.phase else {
            return false;
        };
        let Stage::Waking {
            becoming, became, ..
        } = &reverting.stage
        else {
            return false;
        };
        let end = |child: &Child| child.signal(libc::SIGKILL);
        let copy = self.timeline.get(reverting.target);
        let is_there = copy.is_some_and(|snapshot| end(&snapshot.child));
        // It may not have spoken yet.
        let has_become = match (became, becoming) {
            (Some(child), _) => end(child),
            (None, Some(number)) => self.newcomer(*number).is_ok_and(|child| end(&child)),
            (None, None) => false,
        };
        is_there || has_become
    }

    /// Puts the terminal back, before the revived program looks at it.
    fn restore_screen(&self) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        let screen = self
            .timeline
            .get(reverting.target)
            .and_then(|snapshot| snapshot.screen.as_ref());
        let (Some(terminal), Some(screen)) = (&self.terminal, screen) else {
            return;
        };
        if self.config.group == Group::Launchers && screen.is_the_launchers(terminal) {
            self.tell(&ToLauncher::ComeToFront);
            let deadline = now_ns() + FRONT_NS;
            while screen.is_the_launchers(terminal) && now_ns() < deadline {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        screen.restore(terminal, reverting.ended == EndedWord::Interrupted);
    }

    /// The woken copy speaks.
    pub(crate) fn hear_woken(&mut self, message: FromAgent) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        match message {
            FromAgent::Running(now) => {
                if let Stage::Waking { running, .. } = &mut reverting.stage {
                    *running = Some(now);
                }
                self.finish_revert();
            }
            FromAgent::NotRestored { part, count } => reverting.add_not_restored(part, count),
            FromAgent::Becoming if self.outside.is_another() => {
                let number = self.timeline.get(reverting.target).map(|of| of.live_pid);
                reverting.set_becoming(number);
            }
            FromAgent::Stayed { errno } => {
                reverting.set_becoming(None);
                reverting.stayed = Some(errno);
            }
            FromAgent::Hindered(obstacle @ Obstacle::Failed(Step::Revive, _)) => {
                let target = reverting.target;
                let (_, why, _) = explain(obstacle);
                self.note(format!("{target} can't be brought back to life: {why}"));
                self.end_woken();
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
            // It sleeps again after it could not leave a copy behind.
            FromAgent::Ready => {}
            // No copy of the engine's says that.
            _ => {
                self.end_woken();
            }
        }
    }

    /// The copy that stays behind speaks.
    pub(crate) fn hear_kept(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let Stage::Waking {
            kept: Some(kept), ..
        } = &mut reverting.stage
        else {
            return;
        };
        match kept.link.hear() {
            Heard::Other(FromAgent::Made, sender) if kept.child.is_none() => {
                self.kept_is_made(sender);
            }
            Heard::Message(FromAgent::Ready) => {
                kept.is_ready = true;
                self.finish_revert();
            }
            Heard::Message(_) | Heard::Other(..) | Heard::Nothing => {}
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

    /// The copy that stays behind is there, and speaks for the first time.
    fn kept_is_made(&mut self, sender: i32) {
        let newcomer = self.newcomer(sender);
        if let Phase::Reverting(reverting) = &mut self.phase
            && let Stage::Waking {
                kept: Some(kept), ..
            } = &mut reverting.stage
            && let Ok(child) = newcomer
        {
            kept.link.bind_to(sender);
            kept.child = Some(child);
        }
    }

    /// All that the woken copy has said by now, if there is one.
    pub(crate) fn hear_woken_link(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let Phase::Reverting(reverting) = &self.phase else {
                return;
            };
            let target = reverting.target;
            if !matches!(reverting.stage, Stage::Waking { .. })
                || self.hear_frozen(target) != Word::One
            {
                return;
            }
        }
    }

    /// The woken copy has ended: what it has said before that is still to be heard, and
    /// the copy that it left behind, if it did, will speak in a moment.
    pub(crate) fn hear_last_words_of_woken(&mut self) {
        self.hear_woken_link();
        let deadline = now_ns() + PATIENCE_NS;
        while let Phase::Reverting(reverting) = &self.phase
            && let Stage::Waking {
                running: Some(_),
                kept: Some(kept),
                ..
            } = &reverting.stage
            && !kept.is_ready
            && now_ns() < deadline
        {
            super::run::wait_readable(&kept.link, deadline);
            self.hear_kept();
        }
    }

    /// The program runs again: reports, and goes on with what has waited.
    fn finish_revert(&mut self) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        let Stage::Waking {
            running: Some(running),
            kept,
            ..
        } = &reverting.stage
        else {
            return;
        };
        let running = *running;
        if reverting.keep && !kept.as_ref().is_some_and(|kept| kept.is_ready) {
            return;
        }
        let Phase::Reverting(reverting) = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        let size_differs = self
            .timeline
            .get(reverting.target)
            .and_then(|snapshot| snapshot.screen.as_ref())
            .zip(self.terminal.as_ref())
            .is_some_and(|(screen, terminal)| screen.size_differs(terminal));
        let (became, kept) = match reverting.stage {
            Stage::Waking { became, kept, .. } => (became, kept),
            Stage::Clearing => (None, None),
        };
        let kept = kept.and_then(|kept| Some((kept.link, kept.child.filter(|_| kept.is_ready)?)));
        let was_kept = kept.is_some();
        if let Some(snapshot) = self.timeline.get(reverting.target) {
            self.live.filters = snapshot.filters;
            self.live.numbers.clone_from(&snapshot.numbers);
        }
        let woken = match (kept, self.timeline.get_mut(reverting.target)) {
            (Some((link, child)), Some(snapshot)) => {
                snapshot.link = link;
                snapshot.outer_pid = self.outside.number_of(child.pid());
                Some(std::mem::replace(&mut snapshot.child, child))
            }
            _ => {
                let gone = self.timeline.remove(reverting.target);
                gone.map(|snapshot| snapshot.child)
            }
        };
        if let Some(live) = became.or(woken) {
            self.live.child = live;
        }
        self.live.outer_pid = self.outside.number_of(self.live.pid());
        self.live.is_alive = true;
        self.live.has_agent = true;
        self.live.trigger_is_kept = false;
        if let Some(anchor) = &self.anchor {
            anchor.leave();
        }
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
        let (children_kept, children_ended, of_children) = self.report_children(reverting.target);
        let event = Event::Reverted(Reverted {
            id: reverting.target.number(),
            depth: self.depth(),
            kept: was_kept,
            live_pid: self.live.outer_pid,
            latency_us: running
                .at_ns
                .min(now_ns())
                .saturating_sub(reverting.asked_ns)
                / 1000,
            same_ids: running.renewed == 0,
            children_kept,
            children_ended,
        });
        self.event(event.clone());
        for text in of_children {
            self.note(text);
        }
        if let Some(text) = name_strays(&reverting.strays) {
            self.note(text);
        }
        if running.renewed > 0 && self.outside.is_another() {
            self.note(renewed(running.renewed, reverting.stayed));
        }
        for (part, count) in reverting.not_restored {
            self.note(not_restored(part, count));
        }
        self.answer(reverting.token, Answer::Done(event));
        // Last: to give memory back keeps a processor busy.
        self.keepers.end_those_of_dead();
    }

    /// The process that the woken copy goes on as, or is.
    pub(crate) fn woken_pid(&self) -> Option<i32> {
        let Phase::Reverting(reverting) = &self.phase else {
            return None;
        };
        let Stage::Waking { becoming, .. } = reverting.stage else {
            return None;
        };
        let copy = self.timeline.get(reverting.target)?.child.pid();
        Some(becoming.unwrap_or(copy))
    }

    /// Whether a process is the woken copy, or was until it went on as another one.
    pub(crate) fn is_woken(&self, pid: i32) -> bool {
        let Phase::Reverting(reverting) = &self.phase else {
            return false;
        };
        let copy = self.timeline.get(reverting.target);
        self.woken_pid() == Some(pid) || copy.is_some_and(|snapshot| snapshot.child.pid() == pid)
    }

    /// The woken copy has ended, and has not said that the program runs.
    pub(crate) fn woken_ended(&mut self, pid: i32, ended: EndedWord) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        match reverting.becoming() {
            None => self.target_died(None),
            Some(number) if number == pid => self.target_died(Some(ended)),
            // What it was before it became another process.
            Some(_) => {}
        }
    }

    /// The woken copy's link has ended. While it was becoming another process either of the
    /// two had it: now there is none, or it is about to be reaped.
    pub(crate) fn woken_hung_up(&mut self, id: SnapshotId) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        if reverting.target == id
            && let Stage::Waking {
                becoming: Some(pid),
                running: None,
                ..
            } = reverting.stage
            && family::parent_of(pid) != Some(getpid().as_raw())
        {
            self.target_died(None);
        }
    }

    /// The copy that was to go on is gone: the next older one takes its place. Where there
    /// is none, and it had become the program, the program has ended.
    fn target_died(&mut self, as_program: Option<EndedWord>) {
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
        if self.begin_revert(None, false, ended, asked_ns, token) {
            return;
        }
        match as_program {
            Some(ended) => self.live_ended(ended),
            None => self.broken("no snapshot is left to go on from"),
        }
    }

    pub(crate) fn check_revert_deadline(&mut self, now: u64) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let becoming = reverting.becoming();
        let target = self.timeline.get(reverting.target);
        match &mut reverting.stage {
            Stage::Waking {
                deadline_ns,
                work,
                running,
                ..
            } if now >= *deadline_ns => {
                // What it has to put back may be much, and then it works at it.
                let woken = becoming.or(target.map(|snapshot| snapshot.child.pid()));
                let before = *work;
                *work = woken.and_then(family::work_of);
                if running.is_none() && work.is_some() && *work != before {
                    // The first look tells nothing, and another one follows soon.
                    let patience = before.map_or(PATIENCE_NS / 10, |_| PATIENCE_NS);
                    *deadline_ns = now + patience;
                    return;
                }
                *deadline_ns = now + PATIENCE_NS / 10;
                // Whoever still has its link may keep that open.
                if !self.end_woken() {
                    self.target_died(None);
                }
            }
            Stage::Clearing => self.clear_branch(),
            Stage::Waking { .. } => {}
        }
    }
}

/// Why ids are new that should not be.
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
pub(crate) fn name_strays(strays: &[Stray]) -> Option<String> {
    if strays.is_empty() {
        return None;
    }
    let names: Vec<String> = strays
        .iter()
        .map(|stray| format!("{} ({})", stray.name, stray.outer_pid))
        .collect();
    let count = counted(strays.len(), "process");
    Some(format!(
        "ended {count} that the program had started: {}",
        names.join(", ")
    ))
}
