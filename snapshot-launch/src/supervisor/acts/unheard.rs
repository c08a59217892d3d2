//! Copies that nobody needs any more, and that have not said yet which process they are: the
//! spare of a revert that is done, the copy of a take that is given up. Each has what the
//! program had open until it ends, and its first word tells whom to end.

use crate::supervisor::under_way::unheard::Unheard;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::FromAgent;

use crate::supervisor::{
    links::{AgentLink, Heard},
    state::Supervisor,
    waiting::wait_readable,
};

/// How long others wait for one. It may have been stopped before it could speak; or it was
/// never made, and the program that was to make it is stopped.
const PATIENCE_NS: u64 = 1_000_000_000;

impl Supervisor {
    /// Ends whoever speaks on this link for the first time.
    pub(in crate::supervisor) fn end_when_heard(&mut self, link: AgentLink) {
        self.unheard.push(Unheard {
            link,
            awaited_until_ns: now_ns() + PATIENCE_NS,
        });
    }

    /// One of them speaks, or has ended.
    pub(in crate::supervisor) fn hear_unheard(&mut self, index: usize) {
        let Some(unheard) = self.unheard.get(index) else {
            return;
        };
        match unheard.link.hear() {
            Heard::Nothing => return,
            Heard::Other(FromAgent::Made, sender) => {
                if let Ok(child) = self.first_heard(sender) {
                    self.end_copy(child);
                }
            }
            Heard::Message(_) | Heard::Other(..) | Heard::Closed => {}
        }
        self.unheard.remove(index);
    }

    /// Until when to wait for one of them, if there is any reason to.
    pub(in crate::supervisor) fn unheard_until(&self, now: u64) -> Option<u64> {
        let all = self.unheard.iter().map(|unheard| unheard.awaited_until_ns);
        all.filter(|until_ns| *until_ns > now).max()
    }

    /// Waits until each has spoken, which they do in a moment.
    pub(in crate::supervisor) fn wait_for_unheard(&mut self) {
        while self.unheard_until(now_ns()).is_some()
            && let Some(Unheard {
                link,
                awaited_until_ns,
            }) = self.unheard.last()
        {
            wait_readable(link, *awaited_until_ns);
            let is_over = now_ns() >= *awaited_until_ns;
            self.hear_unheard(self.unheard.len() - 1);
            if is_over {
                return;
            }
        }
    }
}
