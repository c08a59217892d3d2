//! `Snapshot::take` gives a snapshot a label and a context, and `list` says where each was taken.
//!
//! Prints:
//! ```text
//! #1 "before the merge", of 4 commits, at label.rs
//! #2 "", of nothing, at label.rs
//! ```

use snapshot_core::{Arrival, Snapshot, SnapshotError, commit, list, snapshot};

fn main() -> Result<(), SnapshotError> {
    let labelled = Snapshot::take()
        .label("before the merge")
        .context("4 commits");
    if let Arrival::Reverted(_) = labelled.now()? {
        return Ok(());
    }
    if let Arrival::Reverted(_) = snapshot()? {
        return Ok(());
    }
    for taken in list()? {
        let label = taken.label.as_deref().unwrap_or_default();
        let context = taken.context.as_deref().unwrap_or("nothing");
        let file = taken.place.map_or("", |place| place.file());
        let file = file.rsplit('/').next().unwrap_or_default();
        println!("{} {label:?}, of {context}, at {file}", taken.id);
    }
    commit()
}
