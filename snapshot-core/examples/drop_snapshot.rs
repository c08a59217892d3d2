//! `drop_snapshot` forgets one snapshot, and the others stay.
//!
//! Prints:
//! ```text
//! dropped #2 of 2
//! back at #1
//! ```

use snapshot_core::{Arrival, SnapshotError, drop_snapshot, list, revert, snapshot};

fn main() -> Result<(), SnapshotError> {
    for _ in 0..2 {
        if let Arrival::Reverted(report) = snapshot()? {
            println!("back at {}", report.id);
            return Ok(());
        }
    }
    let all = list()?;
    let newest = all[all.len() - 1].id;
    drop_snapshot(newest)?;
    println!("dropped {newest} of {}", all.len());
    match revert()? {}
}
