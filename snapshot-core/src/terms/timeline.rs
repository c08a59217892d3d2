//! Which snapshots exist. Pure, so that every order of events can be tested.
//!
//! The timeline is a stack. A take pushes. A revert pops everything newer than its target, and
//! the target too unless it is kept. A commit empties it. A drop takes one out of the middle. A
//! session never uses a number twice.
//!
//! A revert may leave the newer ones there. Then they lie *ahead*: the live process is not made
//! from them, but can go forward to them again. A take goes below them, and a revert to what is below
//! them leaves them there.
//!
//! Context: TOOL. The supervisor holds the one that counts.
#![cfg_attr(
    not(test),
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "the supervisor and the library keep it"
    )
)]

use crate::terms::SnapshotId;

/// The snapshots under the live process, oldest first, and behind them those that lie ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<T> {
    entries: Vec<(SnapshotId, T)>,
    /// How many of them lie ahead.
    ahead: usize,
    next: u32,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            ahead: 0,
            next: 1,
        }
    }
}

/// What a revert does to the timeline.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// The snapshot to go on from.
    pub target: SnapshotId,
    /// The snapshots that end with the branch, newest first.
    pub dropped: Vec<SnapshotId>,
}

impl<T> Timeline<T> {
    /// How many snapshots lie under the live process.
    pub fn depth(&self) -> usize {
        self.entries.len() - self.ahead
    }

    /// How many there are, those ahead too.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether this one lies ahead of the live process.
    pub fn is_ahead(&self, id: SnapshotId) -> bool {
        let (_, ahead) = self.entries.split_at(self.depth());
        ahead.iter().any(|(other, _)| *other == id)
    }

    /// The number of the next snapshot. A failed take doesn't use it up.
    pub fn next_id(&self) -> SnapshotId {
        SnapshotId::new(self.next)
    }

    /// Adds a snapshot on top of those under the live process; `id` must be the next number.
    pub fn push(&mut self, id: SnapshotId, snapshot: T) {
        self.next = self.next.max(id.number() + 1);
        self.entries.insert(self.depth(), (id, snapshot));
    }

    /// The newest snapshot under the live process.
    pub fn newest(&self) -> Option<SnapshotId> {
        let at = self.depth().checked_sub(1)?;
        self.entries.get(at).map(|(id, _)| *id)
    }

    /// The live process is made from this one now: those behind it lie ahead.
    pub fn goes_on_from(&mut self, id: SnapshotId) {
        if let Some(at) = self.place_of(id) {
            self.ahead = self.entries.len() - (at + 1);
        }
    }

    fn place_of(&self, id: SnapshotId) -> Option<usize> {
        self.entries.iter().position(|(other, _)| *other == id)
    }

    /// One snapshot.
    pub fn get(&self, id: SnapshotId) -> Option<&T> {
        self.iter()
            .find(|(other, _)| *other == id)
            .map(|(_, entry)| entry)
    }

    /// One snapshot, to change.
    pub fn get_mut(&mut self, id: SnapshotId) -> Option<&mut T> {
        self.entries
            .iter_mut()
            .find(|(other, _)| *other == id)
            .map(|(_, entry)| entry)
    }

    /// All of them: first those under the live process, oldest first, then those ahead.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (SnapshotId, &T)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// What a revert to `id`, or to the newest, would do. `None` if there is no such snapshot.
    pub fn plan_revert(&self, id: Option<SnapshotId>) -> Option<Plan> {
        let target = match id {
            Some(id) => id,
            None => self.newest()?,
        };
        let at = self.place_of(target)?;
        let end = match self.depth() {
            depth if at < depth => depth,
            _ => self.entries.len(),
        };
        let dropped = self.entries[at + 1..end].iter().rev().map(|(id, _)| *id);
        Some(Plan {
            target,
            dropped: dropped.collect(),
        })
    }

    /// Takes one out.
    pub fn remove(&mut self, id: SnapshotId) -> Option<T> {
        let at = self.place_of(id)?;
        if at >= self.depth() {
            self.ahead -= 1;
        }
        Some(self.entries.remove(at).1)
    }

    /// Takes all of them out, in their order.
    pub fn clear(&mut self) -> Vec<(SnapshotId, T)> {
        self.ahead = 0;
        std::mem::take(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Take,
        Revert { nth: usize, keep: bool, leave: bool },
        Drop { nth: usize },
        Commit,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Take),
            3 => (0..8_usize, any::<bool>(), any::<bool>())
                .prop_map(|(nth, keep, leave)| Act::Revert { nth, keep, leave }),
            1 => (0..8_usize).prop_map(|nth| Act::Drop { nth }),
            1 => Just(Act::Commit),
        ]
    }

    fn nth(timeline: &Timeline<u32>, nth: usize) -> Option<SnapshotId> {
        let ids: Vec<SnapshotId> = timeline.iter().map(|(id, _)| id).collect();
        ids.get(nth % ids.len().max(1)).copied()
    }

    proptest! {
        /// Against the simplest model: a stack, and what lies ahead of it.
        #[test]
        fn behaves_as_a_stack(acts in prop::collection::vec(act(), 0..60)) {
            let mut timeline = Timeline::default();
            let mut model: Vec<u32> = Vec::new();
            let mut ahead: Vec<u32> = Vec::new();
            let mut last = 0;
            for act in acts {
                match act {
                    Act::Take => {
                        let id = timeline.next_id();
                        prop_assert!(id.number() > last, "a number was used twice");
                        last = id.number();
                        timeline.push(id, id.number());
                        model.push(id.number());
                    }
                    Act::Revert { nth: n, keep, leave } => {
                        let Some(id) = nth(&timeline, n) else {
                            prop_assert_eq!(timeline.plan_revert(None), None);
                            continue;
                        };
                        let plan = timeline.plan_revert(Some(id)).expect("it is there");
                        let place = |of: &[u32]| of.iter().position(|&other| other == id.number());
                        let mut newer = match place(&model) {
                            Some(at) => model.split_off(at + 1),
                            None => {
                                let at = place(&ahead).expect("it is there");
                                let newer = ahead.split_off(at + 1);
                                model.append(&mut ahead);
                                newer
                            }
                        };
                        if leave {
                            newer.append(&mut ahead);
                            ahead = newer;
                        } else {
                            for dropped in plan.dropped {
                                prop_assert_eq!(newer.pop(), Some(dropped.number()), "innermost first");
                                timeline.remove(dropped);
                            }
                            prop_assert_eq!(newer, []);
                        }
                        timeline.goes_on_from(plan.target);
                        prop_assert_eq!(timeline.newest(), Some(plan.target));
                        if !keep {
                            timeline.remove(plan.target);
                            model.pop();
                        }
                    }
                    Act::Drop { nth: n } => {
                        if let Some(id) = nth(&timeline, n) {
                            prop_assert_eq!(timeline.remove(id), Some(id.number()));
                            model.retain(|&other| other != id.number());
                            ahead.retain(|&other| other != id.number());
                        }
                    }
                    Act::Commit => {
                        prop_assert_eq!(timeline.clear().len(), model.len() + ahead.len());
                        model.clear();
                        ahead.clear();
                    }
                }
                let now: Vec<u32> = timeline.iter().map(|(_, &number)| number).collect();
                prop_assert_eq!(&now, &[&model[..], &ahead[..]].concat());
                prop_assert_eq!(timeline.depth(), model.len());
                prop_assert_eq!(timeline.count(), now.len());
                prop_assert_eq!(timeline.newest().map(SnapshotId::number), model.last().copied());
                for number in now {
                    let is_ahead = timeline.is_ahead(SnapshotId::new(number));
                    prop_assert_eq!(is_ahead, ahead.contains(&number));
                }
            }
        }
    }

    #[test]
    fn a_revert_to_a_stranger_is_none() {
        let timeline: Timeline<()> = Timeline::default();
        assert_eq!(timeline.plan_revert(Some(SnapshotId::new(3))), None);
    }
}
