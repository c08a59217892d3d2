//! What every copy is made with.
//!
//! Context: AS-SAFE.

use super::session::Session;
use crate::process::{Lacking, identity::Identity};
use crate::terms::{Obstacle, Step};

/// What every copy is made with.
pub(super) struct Recorded {
    pub(super) identity: Identity,
    /// `None` once it is given back: that happens before the program runs, which may need the
    /// addresses where it lies.
    pub(super) lacking: Option<Lacking>,
}

impl Recorded {
    pub(super) fn record(session: &Session) -> Result<Self, Obstacle> {
        Ok(Self {
            identity: Identity::record()?,
            lacking: Some(
                Lacking::record(session.kept, session.is_kept, session.reseed)
                    .map_err(|errno| Obstacle::Failed(Step::Record, errno.0))?,
            ),
        })
    }

    pub(super) fn give_back(&mut self) {
        if let Some(lacking) = self.lacking.take() {
            lacking.release();
        }
    }
}
