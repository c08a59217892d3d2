//! `RootOnly` with a database handle: a branch that drops it closes the database, which gives up the
//! original's transaction in the file.
//!
//! Prints, alone:
//! ```text
//! without RootOnly: disk I/O error
//! with RootOnly: ok, 2000 rows
//! ```
//!
//! In a session files come back by themselves:
//! ```text
//! without RootOnly: ok, 2000 rows
//! with RootOnly: ok, 2000 rows
//! ```

use std::path::Path;

use rusqlite::Connection;
use snapshot_core::{Arrival, RootOnly, revert, snapshot};

const ROWS: u32 = 2000;

/// A transaction so large that a part of it is in the file already.
fn begin(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA cache_size = 10;
         CREATE TABLE numbers (number INTEGER, text TEXT);
         BEGIN;",
    )?;
    insert(&database, 0..ROWS / 2)?;
    Ok(database)
}

fn insert(database: &Connection, numbers: std::ops::Range<u32>) -> rusqlite::Result<()> {
    let mut statement = database.prepare("INSERT INTO numbers VALUES (?, printf('%100d', ?1))")?;
    for number in numbers {
        statement.execute([number])?;
    }
    Ok(())
}

/// The rest of the transaction; what another reader finds then.
fn finish(database: &Connection, path: &Path) -> rusqlite::Result<String> {
    insert(database, ROWS / 2..ROWS)?;
    database.execute_batch("COMMIT")?;
    let other = Connection::open(path)?;
    let check: String = other.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let count: u32 = other.query_row("SELECT count(*) FROM numbers", [], |row| row.get(0))?;
    Ok(format!("{check}, {count} rows"))
}

fn shown(found: rusqlite::Result<String>) -> String {
    found.unwrap_or_else(|error| error.to_string())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = RootOnly::new(tempfile::tempdir()?);
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));

    let plain = begin(&first)?;
    if let Arrival::Live(_) = snapshot()? {
        drop(plain);
        match revert()? {}
    }
    println!("without RootOnly: {}", shown(finish(&plain, &first)));

    let kept = RootOnly::new(begin(&second)?);
    if let Arrival::Live(_) = snapshot()? {
        drop(kept);
        match revert()? {}
    }
    println!("with RootOnly: {}", shown(finish(&kept, &second)));
    Ok(())
}
