//! `commit` makes what was done final: no snapshot is left to go back to.
//!
//! Prints:
//! ```text
//! before: depth 2
//! after: depth 0
//! revert: there is no such snapshot
//! ```

use snapshot_core::{Arrival, SnapshotError, commit, depth, revert, snapshot};

fn main() -> Result<(), SnapshotError> {
    for _ in 0..2 {
        if let Arrival::Reverted(_) = snapshot()? {
            println!("never: it was committed");
        }
    }
    println!("before: depth {}", depth());
    commit()?;
    println!("after: depth {}", depth());
    let Err(error) = revert();
    println!("revert: {error}");
    Ok(())
}
