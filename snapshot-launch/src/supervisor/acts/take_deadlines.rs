//! How long a take may last, and how a stuck one ends.

use std::collections::VecDeque;

use snapshot_core::sys::now_ns;

use crate::refusal::Refusal;
use crate::supervisor::{
    state::{Phase, Supervisor},
    under_way::{
        taking::{PATIENCE_NS, is_traced_or_stopped},
        wanted::Wanted,
    },
};
use crate::talk::control::Request;

impl Supervisor {
    /// Gives up on what has waited too long.
    pub(crate) fn check_take_deadlines(&mut self, now: u64) {
        self.check_asked(now);
        if let Some(asked) = self.asked.take_if(|asked| now >= asked.deadline_ns) {
            let refusal = self.why_silent();
            self.refuse_take(asked.wanted.token, asked.wanted.trigger, refusal);
        }
        self.check_taking(now);
        if self.is_running() && !self.live.has_agent() && now >= self.spawned_ns + PATIENCE_NS {
            let takes: VecDeque<Wanted> = {
                let (takes, others) = std::mem::take(&mut self.waiting)
                    .into_iter()
                    .partition(|wanted| matches!(wanted.request, Request::Take { .. }));
                self.waiting = others;
                takes
            };
            for wanted in takes {
                let refusal = self.why_silent();
                self.refuse_take(wanted.token, wanted.trigger, refusal);
            }
        }
    }

    /// Ends a take that stands still: after some time, or as soon as somebody waits for its end
    /// and the program has been stopped.
    fn check_taking(&mut self, now: u64) {
        let live = self.live.pid();
        let journal = self.aspects.files.pid();
        let is_awaited = self.is_take_awaited();
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        let worker = taking.worker(live, journal);
        if (is_awaited && taking.is_stopped(live, now)) || taking.headway.is_over(worker, now) {
            self.end_held_up_take();
        }
    }

    /// Whether anything but another take waits for the end of the take.
    fn is_take_awaited(&self) -> bool {
        let is_take = |wanted: &Wanted| matches!(wanted.request, Request::Take { .. });
        self.interrupt_after_take.is_some() || !self.waiting.iter().all(is_take)
    }

    /// The take is stuck. If it is complete it is a snapshot, although the program has not said
    /// that it runs.
    fn end_held_up_take(&mut self) {
        let Phase::Taking(taking) = &mut self.phase else {
            return;
        };
        if taking.complete {
            taking.is_late = true;
            self.report_take(now_ns());
        } else if is_traced_or_stopped(self.live.pid()) {
            self.abandon_take(Refusal::new(
                "stopped",
                "the program was stopped in the middle of the take (SIGSTOP, or a debugger)",
                "let it go on, `kill -CONT`, and try again",
            ));
        } else {
            self.abandon_take(Refusal::failed(
                "the frozen copy made no headway for three seconds",
                "something has stopped it, or the machine has no time for it: try again when that is over",
            ));
        }
    }

    pub(crate) fn take_deadline(&self) -> Option<u64> {
        let asked = self.asked.as_ref().map(|asked| {
            let look_ns = if self.is_running() {
                asked.look_ns
            } else {
                u64::MAX
            };
            asked.deadline_ns.min(look_ns)
        });
        let taking = match &self.phase {
            Phase::Taking(taking) => {
                let look_ns = match taking.stopped {
                    _ if taking.death.is_some() || !self.is_take_awaited() => u64::MAX,
                    Some(stop) => stop.look_ns,
                    None => now_ns(),
                };
                Some(taking.headway.deadline_ns().min(look_ns))
            }
            _ => None,
        };
        let silent = (self.is_running() && !self.live.has_agent() && !self.waiting.is_empty())
            .then_some(self.spawned_ns + PATIENCE_NS);
        [asked, taking, silent].into_iter().flatten().min()
    }
}
