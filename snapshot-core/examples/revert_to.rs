//! `revert_to` ends the branch and all snapshots newer than the one it goes back to.
//!
//! Prints:
//! ```text
//! at depth 3 after 3 steps
//! back at #1 after 0 steps, at depth 0
//! ```

use snapshot_core::{Arrival, SnapshotError, depth, list, revert_to, snapshot};

fn main() -> Result<(), SnapshotError> {
    let mut steps = 0;
    for _ in 0..3 {
        if let Arrival::Reverted(report) = snapshot()? {
            println!(
                "back at {} after {steps} steps, at depth {}",
                report.id,
                depth()
            );
            return Ok(());
        }
        steps += 1;
    }
    println!("at depth {} after {steps} steps", depth());
    let oldest = list()?.swap_remove(0);
    match revert_to(oldest.id)? {}
}
