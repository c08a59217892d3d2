//! `cargo snapshot`: launches programs in a session, and talks to sessions from a second
//! terminal.
//!
//! Parses the command line, runs the verb, prints what went wrong and exits. No thread is
//! started on the way to `run` and `exec`: the launcher forks.

mod cargo;
mod cli;
mod commands;
mod second_terminal;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where stderr is gone, the exit code still says that it failed.
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::from(problem.code)
        }
    }
}
