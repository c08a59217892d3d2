//! A frozen copy that comes back to life.

use crate::processes::{child::Child, headway::Headway};
use nix::sys::signal::Signal;
use snapshot_core::terms::Part;

/// How long a woken copy may do nothing.
pub(in crate::supervisor) const WAKING_NS: u64 = 10_000_000_000;

/// A copy that has been woken.
pub(in crate::supervisor) struct Waking {
    pub(in crate::supervisor) headway: Headway,
    /// It goes on under this number: what it is now will end.
    pub(in crate::supervisor) becoming: Option<i32>,
    /// It does, and this is what it is now.
    pub(in crate::supervisor) became: Option<Child>,
    /// How many of its ids are new, once it lets its threads go.
    pub(in crate::supervisor) opening: Option<u32>,
    /// What it is known by outside, from then on.
    pub(in crate::supervisor) outer_pid: Option<i32>,
    /// Why it has another id than before, if it has.
    pub(in crate::supervisor) stayed: Option<i32>,
    /// What could not be put back.
    pub(in crate::supervisor) not_restored: Vec<(Part, u32)>,
    /// Somebody has stopped it: that is for the program.
    pub(in crate::supervisor) stopped_by: Option<Signal>,
}

impl Waking {
    pub(in crate::supervisor) fn begin() -> Self {
        Self {
            headway: Headway::begin(WAKING_NS),
            becoming: None,
            became: None,
            opening: None,
            outer_pid: None,
            stayed: None,
            not_restored: Vec::new(),
            stopped_by: None,
        }
    }

    pub(in crate::supervisor) fn add_not_restored(&mut self, part: Part, count: u32) {
        let mut known = self.not_restored.iter_mut();
        match known.find(|(known, _)| *known == part) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.not_restored.push((part, count)),
        }
    }

    pub(in crate::supervisor) fn became(&self) -> Option<&Child> {
        self.became.as_ref()
    }

    pub(in crate::supervisor) fn deadline_ns(&self) -> u64 {
        self.headway.deadline_ns()
    }

    /// Whether there is no patience left.
    pub(in crate::supervisor) fn is_over(&mut self, pid: Option<i32>, now: u64) -> bool {
        self.headway.is_over(pid, now)
    }
}
