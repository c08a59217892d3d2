//! `RootOnly` with a temporary directory: a branch that drops it must not remove it.
//!
//! Prints, alone:
//! ```text
//! without RootOnly it is there: false
//! with RootOnly it is there: true
//! at the end it is there: false
//! ```
//!
//! In a session files come back by themselves:
//! ```text
//! without RootOnly it is there: true
//! with RootOnly it is there: true
//! at the end it is there: false
//! ```

use snapshot_core::{Arrival, RootOnly, revert, snapshot};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plain = tempfile::tempdir()?;
    let path = plain.path().to_owned();
    if let Arrival::Live(_) = snapshot()? {
        // By an early return, a panic, a `clear()`: the branch has done with it.
        drop(plain);
        match revert()? {}
    }
    println!("without RootOnly it is there: {}", path.exists());

    let kept = RootOnly::new(tempfile::tempdir()?);
    let path = kept.path().to_owned();
    if let Arrival::Live(_) = snapshot()? {
        drop(kept);
        match revert()? {}
    }
    println!("with RootOnly it is there: {}", path.exists());

    // No snapshot lies under the program now, so this removes it.
    drop(kept);
    println!("at the end it is there: {}", path.exists());
    Ok(())
}
