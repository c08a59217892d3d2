//! Which snapshots lie under the program.
//!
//! Context: IN-PROCESS.

use super::agent::Agent;
use super::error::SnapshotError;
use super::taken::{self, Taken};
use crate::library::{alone, bridge};
use crate::terms::SnapshotId;
use crate::wire::LISTED;

/// The snapshots under this process, oldest first, and where each was taken. At most 32 are listed.
///
/// # Errors
/// See [`SnapshotError`].
pub fn list() -> Result<Vec<Taken>, SnapshotError> {
    let (_, ids) = listing()?;
    let ids = ids.into_iter().take_while(|&id| id != 0);
    Ok(taken::of(ids.map(SnapshotId::new)))
}

/// How many snapshots lie under this process. 0 means that nothing can be undone, and is the
/// answer for a process that was never snapshotted, or that the program has forked. If the launcher
/// can't be asked it is 1: nobody may take for final what is not.
pub fn depth() -> u32 {
    match listing() {
        Ok((depth, _)) => depth,
        Err(SnapshotError::NotTheLiveProcess) => 0,
        Err(_) => 1,
    }
}

/// Whether what happens now may be undone.
pub fn is_in_snapshot() -> bool {
    depth() > 0
}

fn listing() -> Result<(u32, [u32; LISTED]), SnapshotError> {
    match Agent::here() {
        Some(agent) => {
            let mut answer = agent.ask(bridge::CALL_LIST, 0);
            // A list is denied for one reason: a revert has revived this thread in the middle of the
            // question, and the answer was for the branch that has ended.
            while answer == Err(SnapshotError::NoSuchSnapshot) {
                answer = agent.ask(bridge::CALL_LIST, 0);
            }
            answer
        }
        None => live_alone().map(|()| alone::list()),
    }
}

/// Whether this is the live process of a program alone.
pub(super) fn live_alone() -> Result<(), SnapshotError> {
    if alone::is_live() {
        Ok(())
    } else {
        Err(SnapshotError::NotTheLiveProcess)
    }
}
