//! `on_commit` does something once nothing can undo it, and never if its branch is reverted.
//!
//! Prints:
//! ```text
//! the branch decides
//! back, and nothing was sent
//! the branch decides
//! mail 2 is sent
//! committed
//! ```

use snapshot_core::{Arrival, SnapshotError, commit, on_commit, revert, snapshot};

fn decide(number: u32) -> Result<(), SnapshotError> {
    println!("the branch decides");
    on_commit(move || println!("mail {number} is sent"))
}

fn main() -> Result<(), SnapshotError> {
    if let Arrival::Live(_) = snapshot()? {
        decide(1)?;
        match revert()? {}
    }
    println!("back, and nothing was sent");
    if let Arrival::Live(_) = snapshot()? {
        decide(2)?;
        commit()?;
        println!("committed");
    }
    Ok(())
}
