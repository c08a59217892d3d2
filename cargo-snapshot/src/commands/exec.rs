//! `cargo snapshot exec`: runs any program in a session, without a build. Called by `cli`.

use std::ffi::OsString;

use clap::Args;
use snapshot_launch::{Launch, launch};
use snapshot_launch::{flags::SnapshotFlags, problem::Problem};

const EXAMPLES: &str = "\
Examples:
  cargo snapshot exec python3 simulation.py
  cargo snapshot exec --at-start -- ./server --port 8080

The program's own exit status is passed on. 2: usage. 96: the session couldn't be set up.
97: the session broke.";

/// Run any program in a session
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "cargo snapshot exec [OPTIONS] [--] <PROGRAM> [ARGS]..."
)]
pub struct Exec {
    /// Program to run, a path or a name on the PATH, followed by its arguments
    // One list, so that clap never takes an argument of the program for a flag of ours.
    #[arg(value_name = "PROGRAM", trailing_var_arg = true, required = true)]
    pub command: Vec<OsString>,

    /// How the session behaves.
    #[command(flatten)]
    pub snapshot: SnapshotFlags,
}

impl Exec {
    /// Launches the program, and ends as it ends.
    ///
    /// # Errors
    /// If the program can't be launched, or the session breaks.
    pub fn run(self) -> Result<(), Problem> {
        let mut command = self.command.into_iter();
        launch(Launch {
            program: command.next().unwrap_or_default(),
            args: command.collect(),
            env: Vec::new(),
            directory: None,
            flags: self.snapshot,
        })?
        .leave()
    }
}
