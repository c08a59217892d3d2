//! A revert under way.

use crate::processes::{family::Leftover, headway::Headway};
use crate::supervisor::{
    links::AgentLink,
    under_way::{coming_back::ComingBack, spare::Spare, taking::PATIENCE_NS, waking::Waking},
};
use snapshot_core::sys::now_ns;
use snapshot_core::terms::{Ended, Obstacle, SnapshotId};
use snapshot_core::wire::{Caller, Frozen};

/// Where a revert stands.
pub(crate) enum Stage {
    /// The branch runs on until the copy has answered.
    Preparing,
    /// The branch is being ended.
    Clearing,
    /// The target has been woken.
    Waking(Waking),
    /// It could not come back, and falls asleep again.
    Settling,
    /// It is woken again at this time.
    Waiting { until_ns: u64 },
}

/// How far the journal is with a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilesAre {
    Unasked,
    ComingBack,
    Back,
}

/// How long a copy that has just been made may take to fall asleep.
const SETTLE_NS: u64 = 1_000_000_000;

/// The target's copy has died, and its spare is not asleep yet.
pub(crate) struct LostCopy {
    /// A fragment behind "the copy".
    pub(crate) how: String,
    /// Until when the spare may do so.
    pub(crate) until_ns: u64,
}

impl LostCopy {
    pub(crate) fn begin(how: String) -> Self {
        let until_ns = now_ns() + SETTLE_NS;
        Self { how, until_ns }
    }
}

/// A revert under way.
pub(crate) struct Reverting {
    pub(crate) target: SnapshotId,
    pub(crate) keep: bool,
    /// Files that others have changed come back, too.
    pub(crate) force: bool,
    /// The newer snapshots stay.
    pub(crate) ahead: bool,
    pub(crate) asked_ns: u64,
    pub(crate) ended: Ended,
    pub(crate) token: Option<u64>,
    /// The call of a program that asked for it: the answer is its own end.
    pub(crate) caller: Option<AgentLink<Caller>>,
    pub(crate) dropped: Vec<u32>,
    pub(crate) leftovers: Vec<Leftover>,
    pub(crate) stage: Stage,
    /// The copy has been asked whether it can come back, and has not answered.
    pub(crate) is_asked: bool,
    /// For what must happen before the copy wakes.
    pub(crate) patience: Headway,
    pub(crate) spare: Option<Spare>,
    /// The target's copy has died, and the spare must replace it.
    pub(crate) lost_copy: Option<LostCopy>,
    /// Whether there may be a spare beside what was asked.
    pub(crate) may_spare: bool,
    /// Until when the launcher may put its group in front, once it has been asked to.
    pub(crate) front_until_ns: Option<u64>,
    /// Whether the files are as they were at the target.
    pub(crate) files: FilesAre,
    /// What a person hears while they come back.
    pub(crate) coming_back: ComingBack,
    /// Why the woken copy goes back to sleep.
    pub(crate) hindrance: Option<Obstacle>,
    /// How often it had to be woken again.
    pub(crate) tries: u32,
    /// The last note on that.
    pub(crate) last_said: Option<String>,
}

/// What a person has asked for beside the target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) keep: bool,
    pub(crate) force: bool,
    pub(crate) ahead: bool,
}

impl Reverting {
    pub(crate) fn begin(
        target: SnapshotId,
        manner: Manner,
        ended: Ended,
        asked_ns: u64,
        token: Option<u64>,
    ) -> Self {
        Self {
            target,
            keep: manner.keep,
            force: manner.force,
            ahead: manner.ahead,
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
            files: FilesAre::Unasked,
            coming_back: ComingBack::begin(),
            hindrance: None,
            tries: 0,
            last_said: None,
        }
    }

    /// When a person hears more of the files, while they come back.
    pub(crate) fn files_deadline(&self) -> Option<u64> {
        (self.files == FilesAre::ComingBack).then(|| self.coming_back.next_ns())
    }

    /// The link of the spare.
    pub(crate) fn spare_link(&self) -> Option<&AgentLink<Frozen>> {
        self.spare.as_ref().map(Spare::link)
    }

    pub(crate) fn target(&self) -> SnapshotId {
        self.target
    }

    /// Whether nothing lives, and only time or a person can change that.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waiting { .. })
    }

    /// Whether the copy has answered, and its spare sleeps if there is one.
    pub(crate) fn is_settled(&self) -> bool {
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
