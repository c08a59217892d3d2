//! The steps of every aspect, and the data of each step.

use std::collections::HashSet;

use snapshot_core::terms::{Ended, SnapshotId};

use crate::processes::{child::Child, family::Process, outside::Outside};
use crate::refusal::Refusal;
use crate::talk::event::{EndedChild, KeptChild, NotRolledBack};

/// One thing that a session keeps track of across takes and reverts.
///
/// The acts walk all aspects in the order of their list ([`super::list`]) and know none of
/// them. An aspect gets what it needs as arguments and never sees the supervisor.
pub(crate) trait Aspect {
    /// What it keeps with each snapshot.
    type Kept;

    /// A take, while every thread of the program stands still: records what a revert needs.
    /// `earlier` are the records of the snapshots in the timeline.
    ///
    /// # Errors
    /// The reason why there can be no snapshot. The aspect has changed nothing then.
    fn take(
        &mut self,
        still: &mut Standstill<'_>,
        earlier: &[&Self::Kept],
    ) -> Result<Self::Kept, Refusal>;

    /// The take has failed: takes back what [`Aspect::take`] did. `left` snapshots remain.
    fn undo(&mut self, kept: &Self::Kept, left: usize) {
        self.forget(kept, left);
    }

    /// A revert has begun: the live process is being killed.
    fn branch_ends(&mut self) {}

    /// All processes of the branch are gone, and the target is about to wake: puts back what
    /// the take recorded.
    fn revert(&mut self, _kept: &Self::Kept, _ended: Ended) {}

    /// The target has been told to wake.
    fn waking(&mut self) {}

    /// The program runs again: adds to `news` what its user should know.
    fn resumed(&mut self, _kept: &Self::Kept, _news: &mut Resumed<'_>) {}

    /// The revert has been reported, so nobody waits for what happens now.
    fn settled(&mut self) {}

    /// The snapshot has left the timeline. `left` snapshots remain.
    fn forget(&mut self, _kept: &Self::Kept, _left: usize) {}

    /// The session ends: no snapshot remains, and none will follow.
    fn session_ends(&mut self) {}
}

/// The program at a take, while all its threads stand still.
pub(crate) struct Standstill<'a> {
    /// The snapshot that is being taken.
    pub(crate) id: SnapshotId,
    /// The live process.
    pub(crate) pid: i32,
    /// Its children by birth.
    pub(crate) children: Vec<i32>,
    /// All processes that the program has started, and that live.
    pub(crate) started: HashSet<Process>,
    pub(crate) outside: &'a Outside,
    /// What the user should hear about the take.
    pub(crate) notes: Vec<String>,
    /// What a revert will not bring back.
    pub(crate) not_rolled_back: Vec<NotRolledBack>,
}

/// A revert's outcome, as the aspects report it.
pub(crate) struct Resumed<'a> {
    pub(crate) target: SnapshotId,
    /// The program's process; `None` if it has ended again.
    pub(crate) live: Option<&'a Child>,
    pub(crate) children_kept: Vec<KeptChild>,
    pub(crate) children_ended: Vec<EndedChild>,
    /// What the user should hear.
    pub(crate) notes: Vec<String>,
}

impl<'a> Resumed<'a> {
    pub(crate) fn of(target: SnapshotId, live: Option<&'a Child>) -> Self {
        Self {
            target,
            live,
            children_kept: Vec::new(),
            children_ended: Vec::new(),
            notes: Vec::new(),
        }
    }
}
