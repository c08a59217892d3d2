//! The command line of `snapshot-launch`.

use std::ffi::OsString;

use clap::Parser;

use crate::flags::SnapshotFlags;
use crate::launch::{Launch, launch};
use crate::talk::problem::Problem;

/// Launch a program so that it can be snapshotted and brought back.
///
/// As a cargo runner: CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=snapshot-launch
#[derive(Debug, Parser)]
#[command(name = "snapshot-launch", version)]
struct Cli {
    /// The program and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    program: Vec<OsString>,

    #[command(flatten)]
    flags: SnapshotFlags,
}

/// Launches what the command line says. Returns only if that fails.
pub fn run() -> Problem {
    let cli = Cli::parse();
    let mut words = cli.program.into_iter();
    let outcome = launch(Launch {
        program: words.next().unwrap_or_default(),
        args: words.collect(),
        env: Vec::new(),
        directory: None,
        flags: cli.flags,
    });
    match outcome {
        Ok(ending) => ending.leave(),
        Err(problem) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let cli = Cli::try_parse_from(line.split(' ')).expect("a good line");
        cli.program
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        assert_eq!(
            words("snapshot-launch prog --key x"),
            ["prog", "--key", "x"]
        );
        assert_eq!(words("snapshot-launch --at-start prog -h"), ["prog", "-h"]);
        assert_eq!(
            words("snapshot-launch --at-start -- prog -- a"),
            ["prog", "--", "a"]
        );
        assert!(Cli::try_parse_from(["snapshot-launch"]).is_err());
        assert!(Cli::try_parse_from(["snapshot-launch", "--unknown", "prog"]).is_err());
        assert!(Cli::try_parse_from(["snapshot-launch", "--signal", "KILL", "prog"]).is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
