//! `snapshot` and `revert`: there and back, twice from one state.
//!
//! Prints:
//! ```text
//! #1 is there
//! the numbers are [1, 2]
//! back at #1: the branch was given up
//! the numbers are [1]
//! #2 is there
//! back at #2: the branch was killed by SIGABRT
//! ```

use snapshot_core::{Arrival, SnapshotError, revert, snapshot};

fn main() -> Result<(), SnapshotError> {
    let mut numbers = vec![1];
    match snapshot()? {
        Arrival::Live(id) => {
            println!("{id} is there");
            numbers.push(2);
            println!("the numbers are {numbers:?}");
            match revert()? {}
        }
        Arrival::Reverted(report) => {
            println!("back at {}: the branch {}", report.id, report.ended);
            println!("the numbers are {numbers:?}");
        }
    }
    // A branch ends as well when its process does, in any way.
    match snapshot()? {
        Arrival::Live(id) => {
            println!("{id} is there");
            std::process::abort();
        }
        Arrival::Reverted(report) => println!("back at {}: the branch {}", report.id, report.ended),
    }
    Ok(())
}
