//! The spare of a revert: a copy of the copy that wakes.

use crate::processes::child::Child;
use crate::supervisor::links::AgentLink;
use snapshot_core::wire::Frozen;

/// The copy of the copy.
#[derive(Debug)]
pub(in crate::supervisor) struct Spare {
    pub(in crate::supervisor) link: AgentLink<Frozen>,
    /// Once it has spoken.
    pub(in crate::supervisor) child: Option<Child>,
    pub(in crate::supervisor) is_asleep: bool,
}

impl Spare {
    pub(in crate::supervisor) fn on(link: AgentLink<Frozen>) -> Self {
        Self {
            link,
            child: None,
            is_asleep: false,
        }
    }

    pub(in crate::supervisor) fn link(&self) -> &AgentLink<Frozen> {
        &self.link
    }

    pub(in crate::supervisor) fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    pub(in crate::supervisor) fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// What a snapshot is made of, if it sleeps.
    pub(in crate::supervisor) fn into_parts(self) -> Option<(AgentLink<Frozen>, Child)> {
        let child = self.child.filter(|_| self.is_asleep)?;
        Some((self.link, child))
    }
}
