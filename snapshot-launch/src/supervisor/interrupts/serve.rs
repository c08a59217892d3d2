//! What a Ctrl+C, or any SIGINT, means: with a snapshot under the program it reverts, at
//! depth 0 it is the program's own, exactly once. [`super::arrivals`] and
//! [`super::presses`] say which arrivals count.

use crate::supervisor::interrupts::via::{Fate, Via};
use nix::libc;
use snapshot_core::process::lineage::{self, Lineage};
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, PASSED_MAGIC, SENDER_OUTSIDE, SnapshotId};
use snapshot_core::wire::{Caller, ToCaller};

use super::{arrivals::Recipient, presses::Press};
use crate::flags::OnInterrupt;
use crate::supervisor::under_way::reverting::Manner;
use crate::supervisor::{
    config::Group,
    links::AgentLink,
    state::{Phase, Supervisor},
};
use crate::talk::channel::ToLauncher;

impl Supervisor {
    /// A SIGINT was sent to a process of the session that is not the live one.
    pub(crate) fn interrupt_elsewhere(&mut self, recipient: Recipient, sender: i32) {
        let via = if sender == 0 {
            Via::Group
        } else {
            Via::Elsewhere
        };
        // No answer: a live process that waits has asked itself.
        self.interrupt(via, recipient, sender);
    }

    /// Ctrl+C was typed in the launcher's terminal.
    pub(crate) fn interrupt_typed(&mut self, at_ns: u64) {
        let fate = self.decide(Via::Typed, at_ns);
        self.settle(Via::Typed, fate);
    }

    /// The live process got a SIGINT and asks whether it is its own.
    pub(crate) fn interrupt_asked(&mut self, link: AgentLink<Caller>, sender: i32, passed: u32) {
        if passed != 0 {
            link.say(self.own_once(passed));
            return;
        }
        // If the launcher owns the terminal, it has handled every Ctrl+C.
        if sender == 0 && self.config.streams.is_some() {
            link.say(&ToCaller::Own);
            return;
        }
        let fate = self.interrupt(Via::Live, Recipient::Live, sender);
        if fate == Fate::Held {
            // It can't wait in its handler, where no further press reaches it. If the press
            // acts later, the supervisor sends another.
            for waiting in [
                self.held_press.as_mut(),
                self.interrupt_after_take.as_mut().map(|(via, _)| via),
            ]
            .into_iter()
            .flatten()
            .filter(|via| matches!(via, Via::Live | Via::Group))
            {
                *waiting = Via::Elsewhere;
            }
        }
        link.say(match fate {
            Fate::Own => &ToCaller::Own,
            Fate::Passed(number) => self.own_once(number),
            Fate::Reverts | Fate::Swallowed | Fate::Held => &ToCaller::Denied,
        });
    }

    /// `Own` for the first who asks about this number; another answer for the rest.
    fn own_once(&mut self, number: u32) -> &'static ToCaller {
        let before = self.sent_interrupts.len();
        self.sent_interrupts.retain(|&sent| sent != number);
        if self.sent_interrupts.len() < before {
            &ToCaller::Own
        } else {
            &ToCaller::Denied
        }
    }

    fn interrupt(&mut self, via: Via, recipient: Recipient, sender: i32) -> Fate {
        let now = now_ns();
        let known = self
            .interrupts
            .outcome_of(libc::SIGINT, sender, recipient, now);
        if let Some(fate) = known {
            return fate;
        }
        let fate = self.decide(via, now);
        self.interrupts
            .remember(libc::SIGINT, sender, recipient, now, fate);
        fate
    }

    /// Decides on a new press, and acts on it.
    fn decide(&mut self, via: Via, at_ns: u64) -> Fate {
        match self.presses.press(at_ns) {
            Press::Swallow => {
                // The held press was part of the burst too.
                if let Some(held) = self.held_press.take() {
                    self.settle(held, Fate::Swallowed);
                }
                Fate::Swallowed
            }
            Press::Hold => {
                self.held_press = Some(via);
                Fate::Held
            }
            Press::Act => self.act_on_interrupt(via, at_ns),
        }
    }

    /// Does what an interrupt does now.
    fn act_on_interrupt(&mut self, via: Via, asked_ns: u64) -> Fate {
        match self.phase {
            // A revert is under way already.
            Phase::Reverting(_) => {
                self.presses.reverted();
                if self.revert_waits() {
                    self.try_again();
                }
                return Fate::Swallowed;
            }
            Phase::Ending(_) => return Fate::Swallowed,
            // The take completes first; then this reverts to it.
            Phase::Taking(_) => {
                if let Some((earlier, _)) = self.interrupt_after_take.replace((via, asked_ns)) {
                    self.settle(earlier, Fate::Swallowed);
                }
                return Fate::Held;
            }
            Phase::Running => {}
        }
        let reverts = self.config.on_interrupt == OnInterrupt::Revert;
        if reverts && self.begin_revert(None, Manner::default(), Ended::Interrupted, asked_ns, None)
        {
            self.presses.reverted();
            return Fate::Reverts;
        }
        if via != Via::Elsewhere {
            return Fate::Own;
        }
        let number = self.next_number();
        self.sent_interrupts.push(number);
        let value = PASSED_MAGIC | u64::from(number);
        // It arrives without the number if no more can be queued.
        let _ = self.queue_to_live(libc::SIGINT, value);
        Fate::Passed(number)
    }

    /// Acts on an interrupt that has waited.
    pub(crate) fn act_later(&mut self, via: Via, asked_ns: u64) {
        let fate = self.act_on_interrupt(via, asked_ns);
        self.settle(via, fate);
    }

    /// Acts on the held press if its time has come.
    pub(crate) fn check_held_press(&mut self, now: u64) {
        if self.presses.due(now)
            && let Some(via) = self.held_press.take()
        {
            self.act_later(via, now);
        }
    }

    /// Tells the launcher, which holds back its keyboard, the fate of a typed interrupt.
    fn settle(&mut self, via: Via, fate: Fate) {
        if via == Via::Typed && fate != Fate::Held {
            self.tell(&ToLauncher::Typed {
                is_own: fate == Fate::Own,
            });
        }
    }

    /// A frozen copy was sent a signal that is meant for the live process.
    pub(crate) fn passed_on(&mut self, id: SnapshotId, signal: i32, sender: i32) {
        // In the program's group, a copy also gets what the program sends to all.
        let is_shared = self.config.group == Group::Launchers;
        if is_shared && self.live.is(sender) {
            return;
        }
        self.signalled(Recipient::Frozen(id.number()), signal, sender, now_ns());
    }

    /// A signal reached a process of the session that is not the live one, at this moment.
    pub(crate) fn signalled(&mut self, recipient: Recipient, signal: i32, sender: i32, at_ns: u64) {
        if signal == self.config.trigger {
            // The program's own signals, say to its whole group, are not for us.
            if !self.is_inside(sender) {
                self.trigger_arrived(at_ns);
            }
        } else if signal == libc::SIGINT {
            self.interrupt_elsewhere(recipient, sender);
        } else if sender != 0 {
            self.live.signal(signal);
        }
    }

    /// Whether a process is in the session. If that has its own namespace, any number is, even
    /// of an ended process.
    fn is_inside(&self, sender: i32) -> bool {
        match sender {
            0 => true,
            SENDER_OUTSIDE => false,
            _ => match lineage::of(sender, &[std::process::id().cast_signed()]) {
                Lineage::Below => true,
                Lineage::Apart => false,
                Lineage::Gone => self.outside.is_another(),
            },
        }
    }
}
