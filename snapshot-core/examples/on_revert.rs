//! `on_revert` hooks run after a revert, the newest first, before `snapshot` returns.
//!
//! Prints:
//! ```text
//! in the branch
//! second: connect anew
//! first: read the clock
//! back
//! ```

use snapshot_core::{Arrival, SnapshotError, on_revert, revert, snapshot};

fn main() -> Result<(), SnapshotError> {
    on_revert(|| println!("first: read the clock"))?;
    on_revert(|| println!("second: connect anew"))?;
    if let Arrival::Live(_) = snapshot()? {
        println!("in the branch");
        match revert()? {}
    }
    println!("back");
    Ok(())
}
