//! Asks a frozen copy, before the branch ends for it: whether it answers, whether there is room
//! for what it needs, and for a copy of it that stays.

use nix::libc;
use snapshot_core::terms::{Obstacle, Step};
use snapshot_core::wire::ToFrozen;

use crate::processes::{family, headway::Headway};
use crate::refusal::obstacles::without_room;
use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::{reverting::Stage, taking::PATIENCE_NS, waking::Waking},
};

impl Supervisor {
    /// Asks the target's copy, before the branch ends, whether it can come back to life, and
    /// for a spare if one is wanted.
    pub(crate) fn prepare(&mut self) {
        let live_threads = self
            .live
            .is_alive()
            .then(|| family::threads_of(self.live.pid()));
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        reverting.patience = Headway::begin(PATIENCE_NS);
        let Some(snapshot) = self.timeline.get(reverting.target) else {
            return;
        };
        let wants_spare = reverting.keep && reverting.spare.is_none();
        if !wants_spare && live_threads.is_none() {
            return;
        }
        // A stop of the whole group has reached the copy too.
        snapshot.child.signal(libc::SIGCONT);
        let threads = live_threads.map_or(0, |live| snapshot.facts.threads.saturating_sub(live));
        reverting.is_asked = true;
        if wants_spare {
            reverting.ask_for_spare(&snapshot.link, threads);
        } else {
            snapshot.link.say(&ToFrozen::Prepare { threads });
        }
    }

    /// The copy has answered, or its spare sleeps: goes on if both have.
    pub(crate) fn go_on_prepared(&mut self) {
        let Phase::Reverting(reverting) = &self.phase else {
            return;
        };
        if !reverting.is_settled() {
            return;
        }
        if reverting.keep && reverting.spare.is_none() {
            self.spare_is_lost();
            return;
        }
        match reverting.stage {
            Stage::Preparing => self.end_branch(),
            Stage::Clearing => self.clear_branch(),
            Stage::Waking(_) | Stage::Settling | Stage::Waiting { .. } => {}
        }
    }

    /// The copy can't come back now, or can't leave a spare.
    pub(crate) fn hear_of_hindrance(&mut self, obstacle: Obstacle) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let is_spare = matches!(obstacle, Obstacle::Failed(Step::Split, _));
        if let Stage::Waking(_) = reverting.stage {
            if is_spare {
                // It wakes without one.
                return;
            }
            // It goes back to sleep, under either number.
            let stage = std::mem::replace(&mut reverting.stage, Stage::Settling);
            reverting.hindrance = Some(obstacle);
            reverting.patience.renew();
            if let Stage::Waking(Waking {
                became: Some(child),
                ..
            }) = stage
                && let Some(snapshot) = self.timeline.get_mut(reverting.target)
            {
                snapshot.outer_pid = self.outside.number_of(child.pid());
                snapshot.child = child;
            }
            return;
        }
        reverting.is_asked = false;
        self.end_spare();
        let refusal = without_room(obstacle);
        self.let_revert_wait(&refusal.why, &refusal.help);
    }

    /// The copy was asked, or should go back to sleep, and does nothing.
    pub(crate) fn copy_is_silent(&mut self) {
        let pid = self.woken_pid();
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let is_traced = pid.is_some_and(family::is_traced);
        let (cause, help) = if is_traced {
            (
                "its copy is held by a debugger",
                "have that let it go (`detach`)",
            )
        } else {
            (
                "its copy does not answer",
                "the machine may have no time for it",
            )
        };
        reverting.is_asked = false;
        self.end_spare();
        self.let_revert_wait(cause, help);
    }
}
