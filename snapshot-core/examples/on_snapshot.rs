//! `on_snapshot` hooks run before a take, in the order of registration, and may be removed.
//!
//! Prints:
//! ```text
//! first: write down what is buffered
//! second
//! a hook can take no snapshot, and end no branch
//! first: write down what is buffered
//! ```

use snapshot_core::{Arrival, SnapshotError, commit, on_snapshot, snapshot};

fn main() -> Result<(), SnapshotError> {
    on_snapshot(|| println!("first: write down what is buffered"))?;
    let second = on_snapshot(|| {
        println!("second");
        if let Err(error) = snapshot() {
            println!("{error}");
        }
    })?;
    for _ in 0..2 {
        if let Arrival::Reverted(_) = snapshot()? {
            return Ok(());
        }
        second.remove()?;
    }
    commit()
}
