//! How a frozen copy comes back to life, and what happens to the snapshot if it fails.
//!
//! A promised snapshot must not be lost. So a copy of the copy, the *spare*, sleeps beside it
//! until the program runs. If the waking copy dies, whoever killed it, the spare replaces it. A
//! revert that keeps its snapshot leaves the same spare. A copy without room for its threads
//! goes back to sleep. The supervisor wakes it again until there is room, or a person decides
//! otherwise.
//!
//! The woken copy's end counts as the program's only once it has said that it lets the threads
//! go.

use crate::supervisor::under_way::waking::Waking;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::getpid;
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, Running, SnapshotId};
use snapshot_core::wire::FromFrozen;

use crate::processes::{child::Child, family};
use crate::refusal::obstacles::without_room;
use crate::supervisor::under_way::reverting::Manner;
use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::{
        reverting::{LostCopy, Reverting, Stage},
        spare::Spare,
    },
};
use crate::talk::event::Event;

impl Reverting {
    pub(crate) fn waking(&mut self) -> Option<&mut Waking> {
        match &mut self.stage {
            Stage::Waking(waking) => Some(waking),
            _ => None,
        }
    }

    /// The process as which the woken copy goes on, if another one: then its own end is no
    /// loss.
    pub(crate) fn becoming(&self) -> Option<i32> {
        match &self.stage {
            Stage::Waking(waking) => waking.becoming,
            _ => None,
        }
    }
}

impl Supervisor {
    /// The copy that is woken, or asked, speaks.
    pub(crate) fn hear_woken(&mut self, message: FromFrozen) {
        // Look now: by the time of the report it may have ended.
        let outer_pid = match message {
            FromFrozen::Opening { .. } => self.woken_pid().map(|pid| self.outside.number_of(pid)),
            _ => None,
        };
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        match message {
            FromFrozen::Prepared => {
                reverting.is_asked = false;
                self.go_on_prepared();
                return;
            }
            FromFrozen::Hindered(obstacle) => {
                self.hear_of_hindrance(obstacle);
                return;
            }
            FromFrozen::Ready => {
                self.sleeps_again();
                return;
            }
            FromFrozen::Running(now) => {
                self.finish_revert(now);
                return;
            }
            _ => {}
        }
        let number = self
            .timeline
            .get(reverting.target)
            .map(|of| of.origin.pid());
        let is_another = self.outside.is_another();
        let Some(waking) = reverting.waking() else {
            return;
        };
        match message {
            FromFrozen::NotRestored { part, count } => waking.add_not_restored(part, count),
            FromFrozen::Becoming if is_another => waking.becoming = number,
            FromFrozen::Stayed { errno } => {
                waking.becoming = None;
                waking.stayed = Some(errno);
            }
            FromFrozen::Opening { renewed } => {
                waking.opening = Some(renewed);
                waking.outer_pid = outer_pid;
            }
            // The engine never says that.
            _ => {
                self.end_woken();
            }
        }
    }

    /// The copy that is woken, or asked, says what belongs to another conversation.
    pub(crate) fn woken_out_of_turn(&mut self) {
        if let Phase::Reverting(reverting) = &mut self.phase
            && reverting.waking().is_some()
        {
            self.end_woken();
        }
    }

    /// Whether this is the woken copy, which speaks for the first time under its announced
    /// number.
    pub(crate) fn has_become(&mut self, sender: i32) -> bool {
        let newcomer = self.newcomer(sender);
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        let target = reverting.target;
        match (reverting.waking(), newcomer, self.timeline.get(target)) {
            (Some(waking), Ok(child), Some(snapshot))
                if waking.becoming == Some(sender) && waking.became.is_none() =>
            {
                snapshot.link.bind_to(sender);
                waking.became = Some(child);
                true
            }
            _ => false,
        }
    }

    /// The copy sleeps, after a failed attempt or in place of one that died.
    pub(crate) fn sleeps_again(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if !matches!(reverting.stage, Stage::Settling) {
            return;
        }
        let hindrance = reverting.hindrance.take();
        let was_spared = reverting.spare.is_some() && !reverting.keep;
        match hindrance {
            // Perhaps the spare takes up the room.
            Some(_) if was_spared => {
                reverting.may_spare = false;
                self.end_spare();
                self.try_again();
            }
            Some(obstacle) => {
                self.end_spare();
                let refusal = without_room(obstacle);
                self.let_revert_wait(&refusal.why, &refusal.help);
            }
            None => self.try_again(),
        }
    }

    /// The process that the woken copy goes on as, or is.
    pub(crate) fn woken_pid(&self) -> Option<i32> {
        let Phase::Reverting(reverting) = &self.phase else {
            return None;
        };
        let copy = self.timeline.get(reverting.target)?.child.pid();
        Some(reverting.becoming().unwrap_or(copy))
    }

    /// Whether a process is the target's copy, or was until it went on as another one.
    pub(crate) fn is_woken(&self, pid: i32) -> bool {
        let Phase::Reverting(reverting) = &self.phase else {
            return false;
        };
        let copy = self.timeline.get(reverting.target);
        self.woken_pid() == Some(pid) || copy.is_some_and(|snapshot| snapshot.child.pid() == pid)
    }

    /// The target's copy has ended. If it was the program by then, it is the live process after
    /// this call.
    pub(crate) fn woken_ended(&mut self, pid: i32, ended: Ended) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        match reverting.waking() {
            // Its former process has ended.
            Some(waking) if waking.becoming.is_some_and(|number| number != pid) => {}
            Some(Waking {
                opening: Some(renewed),
                ..
            }) => {
                let renewed = *renewed;
                self.finish_revert(Running {
                    at_ns: now_ns(),
                    renewed,
                });
            }
            _ => self.copy_died(Some(ended)),
        }
    }

    /// The target's link has ended. While it was becoming another process, both had the link:
    /// now both are gone, or about to be reaped.
    pub(crate) fn woken_hung_up(&mut self, id: SnapshotId) {
        if let Phase::Reverting(reverting) = &self.phase
            && reverting.target == id
            && let Some(pid) = reverting.becoming()
            && family::parent_of(pid) != Some(getpid().as_raw())
        {
            self.copy_died(None);
        }
    }

    /// The target's copy died before it was the program. Its spare takes its place, or the next
    /// older snapshot.
    pub(crate) fn copy_died(&mut self, ended: Option<Ended>) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        // Both of its processes may end: act once.
        if reverting.lost_copy.is_some() {
            return;
        }
        let how = how_it_died(ended);
        reverting.hindrance = None;
        reverting.is_asked = false;
        if reverting
            .spare
            .as_ref()
            .is_some_and(|spare| !spare.is_asleep())
        {
            reverting.lost_copy = Some(LostCopy::begin(how));
            return;
        }
        self.replace_copy(&how);
    }

    /// The target's copy is gone, and its spare sleeps or is lost.
    pub(crate) fn replace_copy(&mut self, how: &str) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let target = reverting.target;
        let spare = reverting.spare.take_if(|spare| spare.is_asleep());
        if let Some((link, child)) = spare.and_then(Spare::into_parts)
            && let Some(snapshot) = self.timeline.get_mut(target)
        {
            snapshot.outer_pid = self.outside.number_of(child.pid());
            snapshot.link = link;
            snapshot.child = child;
            self.spare_takes_over(how);
            return;
        }
        self.end_spare();
        self.forget(target);
        self.event(Event::Dropped {
            id: target.number(),
        });
        self.note(format!("{target} is lost: its copy {how}"));
        self.go_on_from_another(how);
    }

    /// The target is gone. If the branch lives it goes on; else the next older one takes its
    /// place.
    pub(crate) fn go_on_from_another(&mut self, how: &str) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        if matches!(reverting.stage, Stage::Preparing) {
            self.refuse_revert(
                &format!("its copy {how}"),
                "`cargo snapshot list` shows what is left",
            );
            return;
        }
        let (asked_ns, ended, token) = (reverting.asked_ns, reverting.ended, reverting.token);
        self.phase = Phase::Running;
        if !self.begin_revert(None, Manner::default(), ended, asked_ns, token) {
            self.broken("no snapshot is left to go on from");
        }
    }

    /// Somebody has stopped a copy that a take or a revert needs: it goes on. A stop of the
    /// waking copy stops the program once that runs. True if it was a copy.
    pub(crate) fn copy_stopped(&mut self, pid: i32, signal: i32) -> bool {
        if let Phase::Taking(taking) = &self.phase
            && taking.is_copy(pid)
        {
            taking.let_copy_go_on();
            return true;
        }
        if !self.is_woken(pid) && !self.is_spare(pid) {
            return false;
        }
        let Phase::Reverting(reverting) = &mut self.phase else {
            return false;
        };
        if let Some(waking) = reverting.waking() {
            waking.stopped_by = Signal::try_from(signal).ok();
            if let Some(renewed) = waking.opening {
                // The program itself stands still.
                let at_ns = now_ns();
                self.finish_revert(Running { at_ns, renewed });
                return false;
            }
        }
        self.signal_copies(libc::SIGCONT);
        true
    }

    /// Signals the copy that wakes or is asked, in both of its processes, and its spare if
    /// `signal` does no harm. False if the copy is gone.
    fn signal_copies(&self, signal: libc::c_int) -> bool {
        let Phase::Reverting(reverting) = &self.phase else {
            return false;
        };
        let send = |child: &Child| child.signal(signal);
        if signal == libc::SIGCONT
            && let Some(spare) = reverting.spare.as_ref().and_then(Spare::child)
        {
            send(spare);
        }
        let copy = self.timeline.get(reverting.target);
        let is_there = copy.is_some_and(|snapshot| send(&snapshot.child));
        let Stage::Waking(waking) = &reverting.stage else {
            return is_there;
        };
        let has_become = match (&waking.became, waking.becoming) {
            (Some(child), _) => send(child),
            // It has not spoken yet.
            (None, Some(number)) => self.newcomer(number).is_ok_and(|child| send(&child)),
            (None, None) => false,
        };
        is_there || has_become
    }

    /// Ends the copy that wakes. It counts as dead once reaped. False if it is gone.
    pub(crate) fn end_woken(&self) -> bool {
        self.signal_copies(libc::SIGKILL)
    }

    /// The woken copy does nothing any more.
    pub(crate) fn woken_is_silent(&mut self) {
        let is_traced = self.woken_pid().is_some_and(family::is_traced);
        if let Phase::Reverting(reverting) = &mut self.phase
            && let Some(waking) = reverting.waking()
        {
            waking.headway.renew();
        }
        if is_traced {
            self.say_once("is held by a debugger, and comes back when that lets it go");
            return;
        }
        self.say_once("made no headway for ten seconds as it was woken, and was ended");
        // Another holder may keep its link open.
        if !self.end_woken() {
            self.copy_died(None);
        }
    }
}

/// A fragment behind "the copy".
fn how_it_died(ended: Option<Ended>) -> String {
    match ended {
        Some(ended @ (Ended::Killed(_) | Ended::Exited(_))) => ended.to_string(),
        _ => "was killed as it took its number over".to_owned(),
    }
}
