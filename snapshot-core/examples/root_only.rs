//! `root_only` does something only where nothing can undo it.
//!
//! Prints:
//! ```text
//! the mail is sent
//! in a branch: None
//! back
//! the mail is sent
//! ```

use snapshot_core::{Arrival, SnapshotError, revert, root_only, snapshot};

fn send() {
    println!("the mail is sent");
}

fn main() -> Result<(), SnapshotError> {
    root_only(send);
    if let Arrival::Live(_) = snapshot()? {
        println!("in a branch: {:?}", root_only(send));
        match revert()? {}
    }
    println!("back");
    root_only(send);
    Ok(())
}
