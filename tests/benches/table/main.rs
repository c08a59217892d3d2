//! The table of `docs/performance.md`: what a take and a revert cost, each row beside a raw
//! `fork()` or `kill` and `waitpid` of the same program in the same run.
//!
//! `cargo bench -p snapshot-tests --bench table` prints it. Behind `--`:
//! `--plots DIRECTORY` draws takes and reverts against memory and against threads,
//! `--json FILE` writes one object a row. `--moments` prints another table: where the time of
//! a take goes.

#[path = "../measured/guest.rs"]
mod guest;
#[path = "../measured/itself.rs"]
mod itself;
#[path = "../measured/session.rs"]
mod session;

mod deep;
mod moments;
mod plot;
mod rows;
mod spread;

use std::path::{Path, PathBuf};

use guest::Guest;
use itself::Part;
use rows::Table;

fn main() {
    match itself::part() {
        Part::Measured(case) => Guest::parse(&case).run(),
        Part::Show => show(),
    }
}

fn show() {
    let wanted = Wanted::from_arguments();
    if wanted.moments {
        return moments::print();
    }
    let mut table = Table::default();
    table.measure();
    println!("{table}");
    if let Some(directory) = wanted.plots {
        for (name, drawing) in plot::both(&table.by_memory, &table.by_threads) {
            let path = directory.join(name);
            std::fs::write(&path, drawing).expect("the plots' directory is writable");
            println!("drawn: {}", path.display());
        }
    }
    if let Some(path) = wanted.json {
        std::fs::write(&path, table.json()).expect("the file for JSON is writable");
    }
}

#[derive(Default)]
struct Wanted {
    plots: Option<PathBuf>,
    json: Option<PathBuf>,
    moments: bool,
}

impl Wanted {
    fn from_arguments() -> Self {
        let mut wanted = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut path = || {
                let path = arguments.next().expect("the flag is followed by a path");
                // Cargo runs benches in their package, and people think of the workspace.
                Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path))
            };
            match argument.as_str() {
                "--plots" => wanted.plots = path(),
                "--json" => wanted.json = path(),
                "--moments" => wanted.moments = true,
                // Cargo's own.
                "--bench" => {}
                other => {
                    panic!("unknown argument {other}: --plots DIRECTORY, --json FILE, --moments")
                }
            }
        }
        wanted
    }
}
