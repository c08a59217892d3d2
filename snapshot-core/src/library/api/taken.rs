//! What the program remembers of the snapshots that it took itself.
//!
//! It lies in the program's own memory, so it goes back with it, and knows of no snapshot that is
//! newer.
//!
//! Context: IN-PROCESS.

use std::panic::Location;

use super::own_lock::OwnLock;
use crate::terms::SnapshotId;

/// A snapshot under this process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Its number.
    pub id: SnapshotId,
    /// The label that the program gave it.
    pub label: Option<String>,
    /// What the program has said about it.
    pub context: Option<String>,
    /// Where in the program it was taken. `None` if it was taken from outside.
    pub place: Option<&'static Location<'static>>,
}

impl Taken {
    /// One that was taken from outside, as far as the program knows.
    fn from_outside(id: SnapshotId) -> Self {
        Self {
            id,
            label: None,
            context: None,
            place: None,
        }
    }
}

static TAKEN: OwnLock<Vec<Taken>> = OwnLock::new(Vec::new());

/// The program has taken a snapshot, or has come back to it.
pub(super) fn remember(taken: Taken) {
    // In a signal handler that has interrupted the library it stays unknown where it was.
    if let Ok(mut all) = TAKEN.lock() {
        all.retain(|known| known.id != taken.id);
        all.push(taken);
    }
}

/// What is known of these, which are all that there are.
pub(super) fn of(ids: impl Iterator<Item = SnapshotId>) -> Vec<Taken> {
    let ids: Vec<SnapshotId> = ids.collect();
    let Ok(mut all) = TAKEN.lock() else {
        return ids.into_iter().map(Taken::from_outside).collect();
    };
    all.retain(|known| ids.contains(&known.id));
    let known = |id: SnapshotId| all.iter().find(|known| known.id == id).cloned();
    ids.into_iter()
        .map(|id| known(id).unwrap_or_else(|| Taken::from_outside(id)))
        .collect()
}
