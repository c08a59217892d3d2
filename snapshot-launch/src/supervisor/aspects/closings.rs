//! Closes that wait until the snapshots have let go. The live process closes something that
//! they hold too, and others wait for its end. The program may rely on that end next, and its
//! own interest lists must not report what it has closed.

use std::collections::HashSet;

use snapshot_core::sys::now_ns;
use snapshot_core::terms::SnapshotId;
use snapshot_core::wire::{Caller, ToCaller};

use super::aspect::{Aspect, Standstill};
use crate::refusal::Refusal;
use crate::supervisor::links::AgentLink;

/// How long a snapshot may take. A stopped one lets go later.
const PATIENCE_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct Closing {
    /// Where the live process waits.
    link: AgentLink<Caller>,
    /// Which snapshots have not let go yet.
    holders: Vec<SnapshotId>,
    /// Killed copies, which hold what they have until they are reaped; `None` until all of them
    /// are known.
    dying: Option<HashSet<i32>>,
    deadline_ns: u64,
}

/// All waiting closes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Closings(Vec<Closing>);

impl Closings {
    /// These snapshots have been told to let go.
    pub(crate) fn begin(&mut self, link: AgentLink<Caller>, holders: Vec<SnapshotId>) {
        let deadline_ns = now_ns() + PATIENCE_NS;
        self.0.push(Closing {
            link,
            holders,
            dying: None,
            deadline_ns,
        });
    }

    /// A snapshot has let go of what it was told first.
    pub(crate) fn has_let_go(&mut self, id: SnapshotId) {
        for closing in &mut self.0 {
            if let Some(at) = closing.holders.iter().position(|holder| *holder == id) {
                closing.holders.remove(at);
                return;
            }
        }
    }

    /// Ends each wait for an object that no process of the session holds any more. `dying`: the
    /// copies that are being ended, once all are known.
    pub(crate) fn check(&mut self, now_ns: u64, dying: Option<&HashSet<i32>>) {
        self.0.retain_mut(|closing| {
            if let Some(dying) = dying {
                let held = closing.dying.get_or_insert_with(|| dying.clone());
                held.retain(|copy| dying.contains(copy));
            }
            let are_dead = closing.dying.as_ref().is_some_and(HashSet::is_empty);
            let is_held = !closing.holders.is_empty() || !are_dead;
            let waits = is_held && now_ns < closing.deadline_ns;
            if !waits {
                closing.link.say(&ToCaller::Gone);
            }
            waits
        });
    }

    /// When the next wait ends in any case.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.0.first().map(|closing| closing.deadline_ns)
    }
}

impl Aspect for Closings {
    /// The snapshot itself.
    type Kept = SnapshotId;

    fn take(
        &mut self,
        still: &mut Standstill<'_>,
        _earlier: &[&SnapshotId],
    ) -> Result<SnapshotId, Refusal> {
        Ok(still.id)
    }

    /// A snapshot that is gone holds nothing.
    fn forget(&mut self, kept: &SnapshotId, _left: usize) {
        for closing in &mut self.0 {
            closing.holders.retain(|holder| holder != kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{MsgFlags, recv};
    use snapshot_core::wire::{MESSAGE_BYTES, Message};
    use std::os::fd::{AsRawFd, OwnedFd};

    fn begin(closings: &mut Closings, holders: &[u32]) -> OwnedFd {
        let (ours, theirs) = AgentLink::pair_of().expect("sockets are to be had");
        let holders = holders.iter().map(|id| SnapshotId::new(*id)).collect();
        closings.begin(ours, holders);
        theirs
    }

    fn goes_on(waiting: &OwnedFd) -> bool {
        let mut packet = [0; MESSAGE_BYTES];
        let heard = recv(waiting.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT);
        heard.is_ok() && ToCaller::decode(&packet) == Some(ToCaller::Gone)
    }

    #[test]
    fn a_close_goes_on_when_the_last_one_has_let_go() {
        let mut closings = Closings::default();
        let first = begin(&mut closings, &[1, 2]);
        let second = begin(&mut closings, &[1, 2]);
        closings.has_let_go(SnapshotId::new(2));
        closings.has_let_go(SnapshotId::new(2));
        closings.has_let_go(SnapshotId::new(1));
        closings.check(now_ns(), Some(&HashSet::new()));
        assert!(goes_on(&first), "both have let go");
        assert!(!goes_on(&second), "one holds it");
        closings.forget(&SnapshotId::new(1), 1);
        closings.check(now_ns(), Some(&HashSet::new()));
        assert!(goes_on(&second), "that one is there no more");
        assert_eq!(closings.deadline(), None);
    }

    #[test]
    fn a_close_waits_for_no_snapshot_and_for_none_too_long() {
        let mut closings = Closings::default();
        let free = begin(&mut closings, &[]);
        let held = begin(&mut closings, &[1]);
        closings.check(now_ns(), None);
        assert!(
            !goes_on(&free),
            "a copy may hold it that nobody has heard of"
        );
        closings.check(now_ns(), Some(&HashSet::from([7])));
        assert!(!goes_on(&free), "a dying copy holds it");
        closings.check(now_ns(), Some(&HashSet::new()));
        assert!(goes_on(&free));
        assert!(!goes_on(&held));
        let deadline_ns = closings.deadline().expect("one waits");
        closings.check(deadline_ns, Some(&HashSet::new()));
        assert!(goes_on(&held));
    }
}
