//! A revert under way.

use crate::processes::{family::Leftover, headway::Headway};
use crate::supervisor::{
    links::AgentLink,
    under_way::{spare::Spare, taking::PATIENCE_NS, waking::Waking},
};
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, Obstacle, SnapshotId};
use snapshot_core::wire::{Caller, Frozen};

/// Where a revert stands.
pub(in crate::supervisor) enum Stage {
    /// The branch runs on until the copy has answered.
    Preparing,
    /// The branch is being ended.
    Clearing,
    /// The target has been woken.
    Waking(Waking),
    /// It could not come back, and goes to sleep again.
    Settling,
    /// It is woken again at this moment.
    Waiting { until_ns: u64 },
}

/// How long a copy that has just been made may take to fall asleep.
const SETTLE_NS: u64 = 1_000_000_000;

/// The target's copy has died, and its spare has still to fall asleep.
pub(in crate::supervisor) struct LostCopy {
    /// A fragment behind "the copy".
    pub(in crate::supervisor) how: String,
    /// Until when the spare may do so.
    pub(in crate::supervisor) until_ns: u64,
}

impl LostCopy {
    pub(in crate::supervisor) fn begin(how: String) -> Self {
        let until_ns = now_ns() + SETTLE_NS;
        Self { how, until_ns }
    }
}

/// A revert under way.
pub(crate) struct Reverting {
    pub(in crate::supervisor) target: SnapshotId,
    pub(in crate::supervisor) keep: bool,
    pub(in crate::supervisor) asked_ns: u64,
    pub(in crate::supervisor) ended: Ended,
    pub(in crate::supervisor) token: Option<u64>,
    /// Where the program waits that asks for it itself: its own end is the answer.
    pub(in crate::supervisor) caller: Option<AgentLink<Caller>>,
    pub(in crate::supervisor) dropped: Vec<u32>,
    pub(in crate::supervisor) leftovers: Vec<Leftover>,
    pub(in crate::supervisor) stage: Stage,
    /// The copy has been asked whether it can come back, and has not answered.
    pub(in crate::supervisor) is_asked: bool,
    /// With what is being waited for before the copy is woken.
    pub(in crate::supervisor) patience: Headway,
    pub(in crate::supervisor) spare: Option<Spare>,
    /// The target's copy has died, and the spare is to take its place.
    pub(in crate::supervisor) lost_copy: Option<LostCopy>,
    /// Whether there may be a spare that nobody has asked for.
    pub(in crate::supervisor) may_spare: bool,
    /// Until when the launcher may put its group in front, once it has been asked to.
    pub(in crate::supervisor) front_until_ns: Option<u64>,
    /// Why the woken copy goes back to sleep.
    pub(in crate::supervisor) hindrance: Option<Obstacle>,
    /// How often it had to be woken again.
    pub(in crate::supervisor) tries: u32,
    /// What was said of that.
    pub(in crate::supervisor) told: Option<String>,
}

impl Reverting {
    pub(in crate::supervisor) fn begin(
        target: SnapshotId,
        keep: bool,
        ended: Ended,
        asked_ns: u64,
        token: Option<u64>,
    ) -> Self {
        Self {
            target,
            keep,
            asked_ns,
            ended,
            token,
            caller: None,
            dropped: Vec::new(),
            leftovers: Vec::new(),
            stage: Stage::Preparing,
            is_asked: false,
            patience: Headway::begin(PATIENCE_NS),
            spare: None,
            lost_copy: None,
            may_spare: true,
            front_until_ns: None,
            hindrance: None,
            tries: 0,
            told: None,
        }
    }

    /// The link of the spare.
    pub(crate) fn spare_link(&self) -> Option<&AgentLink<Frozen>> {
        self.spare.as_ref().map(Spare::link)
    }

    pub(crate) fn target(&self) -> SnapshotId {
        self.target
    }

    /// Whether nothing lives, and nothing happens before a person or time wants it.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. })
    }

    /// Whether the copy has answered, and its spare sleeps if there is one.
    pub(in crate::supervisor) fn is_settled(&self) -> bool {
        !self.is_asked
            && self.lost_copy.is_none()
            && self.spare.as_ref().is_none_or(Spare::is_asleep)
    }

    /// Whether this is the process of the spare, or of the woken copy under its new number.
    pub(crate) fn has_a_part(&self, pid: i32) -> bool {
        let became = match &self.stage {
            Stage::Waking(waking) => waking.became(),
            _ => None,
        };
        let spare = self.spare.as_ref().and_then(Spare::child);
        became.into_iter().chain(spare).any(|it| it.pid() == pid)
    }

    /// When to look again. `reaped`: all that was killed is gone, leftovers apart.
    pub(crate) fn deadline(&self, reaped: bool) -> Option<u64> {
        if let Some(lost) = &self.lost_copy {
            return Some(lost.until_ns);
        }
        match &self.stage {
            Stage::Preparing | Stage::Settling => Some(self.patience.deadline_ns()),
            Stage::Clearing if !self.is_settled() => Some(self.patience.deadline_ns()),
            // Leftovers are looked for again until there are none.
            Stage::Clearing => reaped.then(|| now_ns() + 1_000_000),
            Stage::Waking(waking) => Some(waking.deadline_ns()),
            Stage::Waiting { until_ns } => Some(*until_ns),
        }
    }
}
