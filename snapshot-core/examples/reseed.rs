//! `reseed` gives the generators that the process shares new seeds, and `reseeds` has each revert do so. Two
//! branches from one snapshot draw the same numbers else.
//!
//! Prints:
//! ```text
//! as it is, two branches draw the same: true
//! with reseeds, two branches draw the same: false
//! ```

use snapshot_core::{Arrival, SnapshotError, reason_for, reseed, reseeds, revert_with, snapshot};

#[expect(unsafe_code, reason = "draws from the C library")]
fn draw() -> i64 {
    unsafe extern "C" {
        safe fn random() -> i64;
    }
    random()
}

/// What a branch that begins here draws.
fn drawn_in_branch() -> Result<String, SnapshotError> {
    match snapshot()? {
        Arrival::Live(id) => match revert_with(id, &draw().to_string())? {},
        Arrival::Reverted(report) => Ok(reason_for(report.id).unwrap_or_default()),
    }
}

fn main() -> Result<(), SnapshotError> {
    reseed()?;
    let is_same = drawn_in_branch()? == drawn_in_branch()?;
    println!("as it is, two branches draw the same: {is_same}");
    reseeds(true)?;
    let is_same = drawn_in_branch()? == drawn_in_branch()?;
    println!("with reseeds, two branches draw the same: {is_same}");
    Ok(())
}
