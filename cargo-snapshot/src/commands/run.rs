//! `cargo snapshot run`: builds a target as `cargo run` does, and runs it in a session. Called by
//! `cli`.

use std::ffi::OsString;

use clap::Args;
use snapshot_launch::{Launch, launch};
use snapshot_launch::{flags::SnapshotFlags, problem::Problem};

use crate::cargo::{
    artifact, flags::CargoFlags, program_env, project::Project, surroundings::Surroundings,
    target_choice, toolchain::Toolchain,
};

const EXAMPLES: &str = "\
Examples:
  cargo snapshot run
  cargo snapshot run --release --bin server -- --port 8080
  cargo snapshot run --example tour --at-start
  cargo snapshot run --test parser -- --nocapture one_test

While it runs, `kill -USR1 PID`, `cargo snapshot take` or the prefix key and `s` take a
snapshot; Ctrl+C or a crash goes on from the newest one.

The program's own exit status is passed on. 2: usage. 101: the build failed. 102: cargo
can't read the project. 96: the session couldn't be set up. 97: the session broke.";

/// Build a binary, example, test or bench and run it in a session
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// Arguments for the program to run
    #[arg(value_name = "ARGS", trailing_var_arg = true)]
    pub args: Vec<OsString>,

    /// What to build.
    #[command(flatten)]
    pub cargo: CargoFlags,

    /// How the session behaves.
    #[command(flatten)]
    pub snapshot: SnapshotFlags,
}

impl Run {
    /// Builds the program, launches it, and ends as it ends.
    ///
    /// # Errors
    /// If the program can't be found, built or launched, or the session breaks.
    pub fn run(self) -> Result<(), Problem> {
        let toolchain = Toolchain::find();
        let project = Project::read(&toolchain, &self.cargo)?;
        let choice = target_choice::choose(&project, &self.cargo)?;
        let built = artifact::build(&toolchain, &self.cargo, &choice)?;
        let surroundings = Surroundings::look(&toolchain, &self.cargo);
        let current = std::env::current_dir().ok();
        let program = program_env::program(&built, choice.kind, current.as_deref());
        let mut flags = self.snapshot;
        // A test's file has a hash in its name, so the target's name serves better.
        flags.name.get_or_insert(choice.name);
        launch(Launch {
            args: program_env::arguments(self.args, choice.kind),
            env: program_env::variables(&project, &built, choice.kind, &surroundings),
            directory: program_env::directory(&project, &built, choice.kind),
            program: program.into_os_string(),
            flags,
        })?
        .leave()
    }
}
