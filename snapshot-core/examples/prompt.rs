//! A prompt that holds values, with a line editor, and goes back to where it was: after a wrong command, a
//! crash, or its own end.
//!
//! ```console
//! $ cargo run -p snapshot-core --example prompt
//! 0> set x 1
//! 0> snapshot
//! #1 is there
//! 1> set x 2
//! 1> crash
//! back at #1: the branch was killed by SIGABRT
//! 0> show
//! x = 1
//! ```
//!
//! It has no end of its own, so a test types into it.

use std::collections::BTreeMap;
use std::error::Error;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use snapshot_core::{Arrival, Snapshot, commit, depth, list, revert};

fn main() -> Result<(), Box<dyn Error>> {
    println!("set NAME VALUE, show, snapshot [LABEL], list, undo, commit, crash, quit");
    let mut editor = DefaultEditor::new()?;
    let mut values = BTreeMap::new();
    loop {
        // It is raw while a line is typed, and nothing is taken then.
        let line = match editor.readline(&format!("{}> ", depth())) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        editor.add_history_entry(&line)?;
        if line.trim() == "quit" {
            return Ok(());
        }
        if let Err(error) = obey(line.trim(), &mut values) {
            println!("error: {error}");
        }
    }
}

fn obey(line: &str, values: &mut BTreeMap<String, String>) -> Result<(), Box<dyn Error>> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match command {
        "" => {}
        "set" => {
            let (name, value) = rest.split_once(' ').ok_or("it is `set NAME VALUE`")?;
            values.insert(name.to_owned(), value.to_owned());
        }
        "show" => {
            for (name, value) in values {
                println!("{name} = {value}");
            }
        }
        "snapshot" => match Snapshot::take().label(rest).now()? {
            Arrival::Live(id) => println!("{id} is there"),
            Arrival::Reverted(report) => {
                println!("back at {}: the branch {}", report.id, report.ended);
            }
        },
        "list" => {
            for taken in list()? {
                println!("{} {}", taken.id, taken.label.unwrap_or_default());
            }
        }
        "undo" => match revert()? {},
        "commit" => commit()?,
        "crash" => std::process::abort(),
        _ => return Err(format!("there is no command `{command}`").into()),
    }
    Ok(())
}
