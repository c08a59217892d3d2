//! The spare: a copy of the copy that wakes. It sleeps until the program runs; if the waking
//! copy dies before that, the spare is the snapshot. A revert that keeps its snapshot leaves
//! it.

use crate::supervisor::under_way::spare::Spare;
use snapshot_core::wire::{FromFrozen, Frozen, ToFrozen};

use crate::supervisor::{
    links::{AgentLink, Heard, MOST_AT_ONCE, may_be_passed},
    state::{Phase, Supervisor},
    under_way::reverting::{Reverting, Stage},
};

/// From this size on a spare costs more time than it is worth: the kernel copies page tables
/// for it, some 10 ms a gigabyte.
const MOST_SPARED_BYTES: u64 = 64 << 20;

/// How often to replace a dying copy without a pause.
const AT_ONCE: u32 = 3;

impl Reverting {
    /// Asks for a spare, and for room for so many threads.
    pub(crate) fn ask_for_spare(&mut self, copy: &AgentLink<Frozen>, threads: u32) {
        // Without a descriptor there is no spare, as if it were killed.
        if let Ok((link, theirs)) = AgentLink::<Frozen>::pair() {
            copy.hand(&ToFrozen::Prepare { threads }, &theirs);
            self.spare = Some(Spare::on(link));
        } else {
            copy.say(&ToFrozen::Prepare { threads });
        }
    }
}

impl Supervisor {
    /// Asks for a spare before the target wakes, if that costs little. Nobody waits for it.
    pub(crate) fn make_spare(&mut self) {
        if let Phase::Reverting(reverting) = &mut self.phase
            && let Some(snapshot) = self.timeline.get(reverting.target)
            && reverting.may_spare
            && reverting.spare.is_none()
            && snapshot.facts.rss_bytes < MOST_SPARED_BYTES
        {
            reverting.ask_for_spare(&snapshot.link, 0);
        }
    }

    /// Hears all that the spare has said.
    pub(crate) fn hear_spare(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            let Phase::Reverting(reverting) = &mut self.phase else {
                return;
            };
            let Some(spare) = &mut reverting.spare else {
                return;
            };
            let target = reverting.target;
            match spare.link.hear() {
                Heard::Other(FromFrozen::Made, sender) if spare.child.is_none() => {
                    self.spare_is_made(sender);
                }
                Heard::Message(FromFrozen::Ready) => {
                    spare.is_asleep = true;
                    self.spare_is_settled();
                }
                Heard::Message(FromFrozen::Passed { signal, sender }) if may_be_passed(signal) => {
                    self.passed_on(target, signal, sender);
                }
                Heard::Nothing => return,
                Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. } | Heard::Closed => {
                    self.end_spare();
                    self.spare_is_settled();
                }
            }
        }
    }

    /// The spare is there, and speaks for the first time.
    pub(crate) fn spare_is_made(&mut self, sender: i32) {
        let newcomer = self.first_heard(sender);
        if let Phase::Reverting(reverting) = &mut self.phase
            && let Some(spare) = &mut reverting.spare
            && let Ok(child) = newcomer
        {
            spare.link.bind_to(sender);
            spare.child = Some(child);
        }
    }

    /// The spare sleeps, or is gone.
    fn spare_is_settled(&mut self) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        if let Some(lost) = reverting.lost_copy.take() {
            self.replace_copy(&lost.how);
            return;
        }
        if reverting.spare.is_some() {
            self.go_on_prepared();
            return;
        }
        if matches!(reverting.stage, Stage::Waking(_)) && reverting.keep {
            reverting.keep = false;
            let target = reverting.target;
            self.note(format!(
                "{target} is not kept: its copy was killed as the program came back"
            ));
            return;
        }
        // First hear the copy itself: why it could leave no spare.
        self.go_on_prepared();
    }

    /// The spare is lost: no snapshot would stay.
    pub(crate) fn spare_is_lost(&mut self) {
        self.let_revert_wait(
            "the copy that was to stay was killed",
            "a person has done so, or the kernel for want of memory (`dmesg` tells)",
        );
    }

    /// Ends the spare: nobody needs it.
    pub(crate) fn end_spare(&mut self) {
        if let Phase::Reverting(reverting) = &mut self.phase
            && let Some(spare) = reverting.spare.take()
        {
            match spare.child {
                Some(child) => self.end_copy(child),
                None => self.end_when_heard(spare.link),
            }
        }
    }

    /// Whether a process is the spare.
    pub(crate) fn is_spare(&self, pid: i32) -> bool {
        self.spare_pid() == Some(pid)
    }

    pub(crate) fn spare_pid(&self) -> Option<i32> {
        match &self.phase {
            Phase::Reverting(reverting) => Some(reverting.spare.as_ref()?.child.as_ref()?.pid()),
            _ => None,
        }
    }

    /// The spare is the snapshot now.
    pub(crate) fn spare_takes_over(&mut self, how: &str) {
        let Phase::Reverting(reverting) = &mut self.phase else {
            return;
        };
        let is_once_too_often = reverting.tries >= AT_ONCE;
        if matches!(reverting.stage, Stage::Preparing) || is_once_too_often {
            self.let_revert_wait(
                &format!("its copy {how}"),
                "if no person does that, the kernel may for want of memory (`dmesg` tells)",
            );
            return;
        }
        reverting.tries += 1;
        let target = reverting.target;
        self.note(format!(
            "its copy {how}: going on from the spare of {target}"
        ));
        self.try_again();
    }
}
