//! A frozen copy that comes back to life.

use crate::processes::{child::Child, headway::Headway};
use nix::sys::signal::Signal;
use snapshot_core::terms::Part;

/// How long a woken copy may stand still.
pub(crate) const WAKING_NS: u64 = 10_000_000_000;

/// A copy that has been woken.
pub(crate) struct Waking {
    pub(crate) headway: Headway,
    /// It will go on under this number; its first process ends.
    pub(crate) becoming: Option<i32>,
    /// The process with that number, once there.
    pub(crate) became: Option<Child>,
    /// How many of its ids are new; set once it lets its threads go.
    pub(crate) opening: Option<u32>,
    /// Its number outside, from then on.
    pub(crate) outer_pid: Option<i32>,
    /// Why it has another id than before, if it has.
    pub(crate) stayed: Option<i32>,
    /// What could not be put back.
    pub(crate) not_restored: Vec<(Part, u32)>,
    /// The signal that stopped it, for the program.
    pub(crate) stopped_by: Option<Signal>,
}

impl Waking {
    pub(crate) fn begin() -> Self {
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

    pub(crate) fn add_not_restored(&mut self, part: Part, count: u32) {
        let mut known = self.not_restored.iter_mut();
        match known.find(|(known, _)| *known == part) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.not_restored.push((part, count)),
        }
    }

    pub(crate) fn became(&self) -> Option<&Child> {
        self.became.as_ref()
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.headway.deadline_ns()
    }

    /// Whether it has stood still too long.
    pub(crate) fn is_over(&mut self, pid: Option<i32>, now: u64) -> bool {
        self.headway.is_over(pid, now)
    }
}
