//! `revert_with` reverts and says why, and `reason_for` hears it: the only thing that a branch can leave.
//!
//! Prints:
//! ```text
//! try 1
//! try 2 after: the first one was wrong
//! ```

use snapshot_core::{Arrival, SnapshotError, reason_for, revert_with, snapshot};

fn main() -> Result<(), SnapshotError> {
    match snapshot()? {
        Arrival::Live(id) => {
            println!("try 1");
            match revert_with(id, "the first one was wrong")? {}
        }
        Arrival::Reverted(report) => {
            let reason = reason_for(report.id).unwrap_or_default();
            println!("try 2 after: {reason}");
        }
    }
    Ok(())
}
