//! `revert_after` gives a branch a deadline that is no closure's.
//!
//! Prints:
//! ```text
//! it took too long
//! in time
//! ```

use std::time::Duration;

use snapshot_core::{Arrival, SnapshotError, drop_snapshot, reason_for, revert_after, snapshot};

fn main() -> Result<(), SnapshotError> {
    match snapshot()? {
        Arrival::Live(id) => {
            let _deadline = revert_after(id, Duration::from_millis(50), "it took too long")?;
            loop {
                std::thread::park();
            }
        }
        Arrival::Reverted(report) => println!("{}", reason_for(report.id).unwrap_or_default()),
    }
    if let Arrival::Live(id) = snapshot()? {
        let deadline = revert_after(id, Duration::from_secs(3600), "never")?;
        drop(deadline);
        drop_snapshot(id)?;
        println!("in time");
    }
    Ok(())
}
