//! `reverts` counts the reverts, which no revert takes back: a thread sees by it that it must begin anew.
//!
//! Prints:
//! ```text
//! reverts 0, steps 0
//! in the branch: steps 1
//! reverts 1, steps 0
//! in the branch: steps 1
//! reverts 2, steps 0
//! ```

use snapshot_core::{Arrival, SnapshotError, revert, reverts, snapshot};

fn main() -> Result<(), SnapshotError> {
    let mut steps = 0;
    println!("reverts {}, steps {steps}", reverts()?);
    for _ in 0..2 {
        if let Arrival::Live(_) = snapshot()? {
            steps += 1;
            println!("in the branch: steps {steps}");
            match revert()? {}
        }
        println!("reverts {}, steps {steps}", reverts()?);
    }
    Ok(())
}
