//! `last_phases` says where the time of the last snapshot went.
//!
//! Prints:
//! ```text
//! before: no time
//! after: some time
//! ```

use std::time::Duration;

use snapshot_core::{Arrival, SnapshotError, commit, last_phases, snapshot};

fn spent() -> Duration {
    let phases = last_phases();
    phases.park + phases.record + phases.split + phases.complete + phases.release
}

fn main() -> Result<(), SnapshotError> {
    if spent().is_zero() {
        println!("before: no time");
    }
    if let Arrival::Live(_) = snapshot()? {
        if !spent().is_zero() {
            println!("after: some time");
        }
        commit()?;
    }
    Ok(())
}
