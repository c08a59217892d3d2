//! The spare of a revert: a copy of the copy that wakes.

use crate::processes::child::Child;
use crate::supervisor::links::AgentLink;
use snapshot_core::wire::Frozen;

/// The copy of the copy.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) link: AgentLink<Frozen>,
    /// Once it has spoken.
    pub(crate) child: Option<Child>,
    pub(crate) is_asleep: bool,
}

impl Spare {
    pub(crate) fn on(link: AgentLink<Frozen>) -> Self {
        Self {
            link,
            child: None,
            is_asleep: false,
        }
    }

    pub(crate) fn link(&self) -> &AgentLink<Frozen> {
        &self.link
    }

    pub(crate) fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// The parts for a snapshot, if it sleeps.
    pub(crate) fn into_parts(self) -> Option<(AgentLink<Frozen>, Child)> {
        let child = self.child.filter(|_| self.is_asleep)?;
        Some((self.link, child))
    }
}
