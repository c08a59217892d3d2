//! How branches and sessions end.

use std::collections::HashSet;

use nix::sys::signal::Signal;
use nix::unistd::getpid;
use snapshot_core::sys::now_ns;
use snapshot_core::terms::Ended;

use super::reverting::name_leftovers;
use crate::flags::OnExit;
use crate::processes::family::{self, Signalled};
use crate::supervisor::under_way::reverting::Manner;
use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::{ending::Ending, taking::Death},
};
use crate::talk::{channel::ToLauncher, event::Event};

/// How long the program has after TERM, HUP or QUIT, and its processes have after its end,
/// before they are killed.
const GRACE_NS: u64 = 500_000_000;

impl Supervisor {
    /// The live process has ended by itself.
    pub(crate) fn live_ended(&mut self, ended: Ended) {
        let death = Death {
            ended,
            at_ns: now_ns(),
        };
        match &mut self.phase {
            Phase::Ending(ending) => ending.status = Some(ended),
            Phase::Taking(_) => self.taker_died(death),
            Phase::Running | Phase::Reverting(_) => self.branch_died(death),
        }
    }

    /// The live process has ended and no take waits for it: reverts, or ends the session.
    pub(crate) fn branch_died(&mut self, Death { ended, at_ns }: Death) {
        if ended == Ended::Exited(0) && self.config.on_exit == OnExit::Commit {
            self.commit(None);
        }
        // An interrupt that waited for a take may have begun a revert already.
        if matches!(self.phase, Phase::Reverting(_))
            || self.begin_revert(None, Manner::default(), ended, at_ns, None)
        {
            return;
        }
        if !self.started {
            self.report_started();
        }
        self.begin_ending(Some(ended), GRACE_NS);
    }

    /// The launcher asks for the end: sends the program the same signal.
    pub(crate) fn end_by(&mut self, signal: i32) {
        if matches!(self.phase, Phase::Ending(_)) {
            return;
        }
        if let Ok(signal) = Signal::try_from(signal) {
            self.signal_live(signal);
            self.signal_live(Signal::SIGCONT);
        }
        self.begin_ending(None, GRACE_NS);
    }

    /// The launcher is gone, or something impossible has happened.
    pub(crate) fn end_at_once(&mut self) {
        self.signal_live(Signal::SIGKILL);
        self.begin_ending(None, 0);
    }

    /// The session can't go on.
    pub(crate) fn broken(&mut self, why: &str) {
        self.note(format!("the session broke: {why}"));
        self.end_at_once();
        if let Phase::Ending(ending) = &mut self.phase {
            ending.status = Some(Ended::Exited(i32::from(crate::talk::problem::exit::BROKEN)));
        }
    }

    fn begin_ending(&mut self, status: Option<Ended>, grace_ns: u64) {
        for (_, snapshot) in self.timeline.clear() {
            self.end_copy(snapshot.child);
        }
        self.aspects.session_ends();
        let of_take = match &self.phase {
            Phase::Taking(taking) => taking.death.map(|death| death.ended),
            _ => None,
        };
        self.phase = Phase::Ending(Ending {
            grace_ns,
            deadline_ns: None,
            status: status.or(of_take),
            names_leftovers: status.is_some(),
        });
    }

    /// Sends SIGHUP to all that the program has started. Returns when their time is over;
    /// `None` while one of the session's own may be among them.
    fn end_the_rest(&mut self, now: u64) -> Option<u64> {
        let Phase::Ending(Ending {
            grace_ns,
            deadline_ns,
            names_leftovers,
            ..
        }) = self.phase
        else {
            return None;
        };
        if deadline_ns.is_some() || self.silent_copies_until(now).is_some() {
            return deadline_ns;
        }
        let deadline_ns = now + grace_ns;
        if let Phase::Ending(ending) = &mut self.phase {
            ending.deadline_ns = Some(deadline_ns);
        }
        let mut spared = self.own_pids();
        spared.insert(self.live.pid());
        let own = getpid().as_raw();
        let mut leftovers = family::signal_below(own, Signal::SIGHUP, &spared, &|_| false);
        self.see_from_outside(&mut leftovers.got);
        family::signal_below(own, Signal::SIGCONT, &spared, &|_| false);
        if names_leftovers && let Some(text) = name_leftovers(&leftovers.got) {
            self.note(text);
        }
        Some(deadline_ns)
    }

    /// Whether the session is over; after the deadline, kills what is left.
    pub(crate) fn check_ending(&mut self, now: u64) -> bool {
        let Some(deadline_ns) = self.end_the_rest(now) else {
            return false;
        };
        let anchor = self.anchor.as_ref().map(|anchor| anchor.pid().as_raw());
        let spared: HashSet<i32> = anchor.into_iter().chain(self.aspects.files.pid()).collect();
        let own = getpid().as_raw();
        let mut left = family::children(own);
        left.retain(|pid| !spared.contains(pid));
        if !left.is_empty() {
            if now < deadline_ns {
                return false;
            }
            let Signalled { out_of_reach, .. } =
                family::signal_below(own, Signal::SIGKILL, &spared, &|_| false);
            let is_beyond = |pid: &i32| out_of_reach.iter().any(|leftover| leftover.pid == *pid);
            if !left.iter().all(is_beyond) {
                return false;
            }
            // Only their own user, or root, can end those that are left.
            if self.anchor.is_some()
                && let Some(text) = family::name_out_of_reach(&out_of_reach)
            {
                self.note(text);
            }
        }
        // Nobody calls it any more. It removes what it has kept.
        if self.aspects.files.is_committing() {
            return false;
        }
        if !self.aspects.files.is_over() {
            self.aspects.files.close();
            return false;
        }
        if let Some(anchor) = self.anchor.take() {
            anchor.end();
            return false;
        }
        let Phase::Ending(Ending { status, .. }) = self.phase else {
            return false;
        };
        // Both `None` if the session ended during a revert.
        let (code, signal) = (status.and_then(Ended::code), status.and_then(Ended::signal));
        self.event(Event::Finished { code, signal });
        self.tell(&ToLauncher::Finished { code, signal });
        true
    }

    pub(crate) fn ending_deadline(&self) -> Option<u64> {
        match &self.phase {
            // Polled: killed processes take time to end.
            Phase::Ending(ending) => {
                let soon_ns = now_ns() + 5_000_000;
                Some(
                    ending
                        .deadline_ns
                        .map_or(soon_ns, |at_ns| at_ns.max(soon_ns)),
                )
            }
            _ => None,
        }
    }
}
