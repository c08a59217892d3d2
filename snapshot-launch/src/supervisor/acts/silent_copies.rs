//! Copies that nobody needs and that have not said yet which process they are: the spare of a
//! finished revert, the copy of an abandoned take. Each keeps open what the program had open
//! until it ends. Its first message shows which process to end.

use crate::supervisor::under_way::silent_copy::SilentCopy;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::{FromFrozen, Frozen};

use crate::supervisor::{
    links::{AgentLink, Heard},
    state::Supervisor,
};

/// How long others wait for one. It may be stopped before it could speak, or it was never made
/// because the program is stopped.
const PATIENCE_NS: u64 = 1_000_000_000;

impl Supervisor {
    /// Ends the process that first speaks on this link.
    pub(crate) fn end_when_heard(&mut self, link: AgentLink<Frozen>) {
        self.silent_copies.push(SilentCopy {
            link,
            awaited_until_ns: now_ns() + PATIENCE_NS,
        });
    }

    /// One of them speaks, or has ended.
    pub(crate) fn hear_silent_copy(&mut self, index: usize) {
        let Some(copy) = self.silent_copies.get(index) else {
            return;
        };
        match copy.link.hear() {
            Heard::Nothing => return,
            Heard::Other(FromFrozen::Made, sender) => {
                if let Ok(child) = self.first_heard(sender) {
                    self.end_copy(child);
                }
            }
            Heard::Message(_) | Heard::Other(..) | Heard::OutOfTurn { .. } | Heard::Closed => {}
        }
        self.silent_copies.remove(index);
    }

    /// Until when to wait for them; `None` if not at all.
    pub(crate) fn silent_copies_until(&self, now: u64) -> Option<u64> {
        let all = self.silent_copies.iter().map(|copy| copy.awaited_until_ns);
        all.filter(|until_ns| *until_ns > now).max()
    }
}
