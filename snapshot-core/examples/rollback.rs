//! `rollback` says who keeps the snapshots, and so whether files come back.
//!
//! Prints, alone:
//! ```text
//! Alone: the file has 6 bytes
//! ```
//!
//! In a session:
//! ```text
//! Session: the file has 0 bytes
//! ```

use std::fs;

use snapshot_core::{Arrival, RootOnly, revert, rollback, snapshot};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = RootOnly::new(tempfile::NamedTempFile::new()?);
    if let Arrival::Live(_) = snapshot()? {
        fs::write(file.path(), "branch")?;
        match revert()? {}
    }
    let length = fs::metadata(file.path())?.len();
    println!("{:?}: the file has {length} bytes", rollback());
    Ok(())
}
