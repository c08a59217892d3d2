//! `depth` and `is_in_snapshot` say whether what happens now may be undone.
//!
//! Prints:
//! ```text
//! at first: depth 0, in a snapshot: false
//! in a branch: depth 1, in a snapshot: true
//! back: depth 0, in a snapshot: false
//! ```

use snapshot_core::{Arrival, SnapshotError, depth, is_in_snapshot, revert, snapshot};

fn say(when: &str) {
    println!(
        "{when}: depth {}, in a snapshot: {}",
        depth(),
        is_in_snapshot()
    );
}

fn main() -> Result<(), SnapshotError> {
    say("at first");
    if let Arrival::Live(_) = snapshot()? {
        say("in a branch");
        match revert()? {}
    }
    say("back");
    Ok(())
}
