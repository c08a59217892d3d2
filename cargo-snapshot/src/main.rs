//! `cargo snapshot`: launches programs in a session, and talks to sessions from a second
//! terminal.
//!
//! It parses the command line, runs the verb, prints what went wrong and exits. Nothing on the way
//! to `run` and `exec` starts a thread, since the launcher forks.
//!
//! Rooms, from the top: `cli` finds the verb; `commands` has a file a verb; `cargo` goes from
//! cargo's flags to what is launched; `second_terminal` talks to a session.

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
            // If stderr is gone, the exit code still says that it failed.
            let _ = writeln!(std::io::stderr(), "{problem}");
            ExitCode::from(problem.code)
        }
    }
}
