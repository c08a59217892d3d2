//! The command line: the verbs, and how the arguments become one of them.
//!
//! When a person types `cargo snapshot run ...`, cargo starts `cargo-snapshot snapshot run ...`.
//! A person may also type `cargo-snapshot run ...`. Both mean the same here. Called by `main`.
//! The arguments of each verb stand beside its code, in `commands/`.

use std::ffi::OsString;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use snapshot_launch::problem::Problem;

use crate::commands::{
    commit::Commit, diff::Diff, doctor::Doctor, drop::Drop, exec::Exec, list::List,
    recover::Recover, revert::Revert, run::Run, sessions::Sessions, take::Take,
};

const EXAMPLES: &str = "\
Examples:
  cargo snapshot run                     Build and run this package in a session
  cargo snapshot exec python3 sim.py     Run any program in a session
  kill -USR1 PID                         Take a snapshot of it
  Ctrl+C, or a crash                     Go on from the newest snapshot

From a second terminal:
  cargo snapshot take -m \"before merge\"  Take a snapshot and call it something
  cargo snapshot list                    Show the timeline
  cargo snapshot diff                    Show which files have changed since
  cargo snapshot revert 2                Go on from snapshot #2
  cargo snapshot commit                  Keep what happened since, drop the snapshots";

/// Snapshot a running program, try anything, and go on from the snapshot
#[derive(Debug, Parser)]
#[command(
    name = "cargo snapshot",
    bin_name = "cargo snapshot",
    version,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND",
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<Run>),
    Exec(Box<Exec>),
    Sessions(Sessions),
    Take(Take),
    List(List),
    Revert(Revert),
    Commit(Commit),
    Drop(Drop),
    Diff(Diff),
    Recover(Recover),
    Doctor(Doctor),
}

impl Cli {
    /// Runs the verb. After `run` and `exec` of a program it doesn't return: this process ends as
    /// the program ended.
    ///
    /// # Errors
    /// What went wrong, with the exit code that says so.
    pub fn run(self) -> Result<(), Problem> {
        match self.verb {
            Verb::Run(run) => run.run(),
            Verb::Exec(exec) => exec.run(),
            Verb::Sessions(sessions) => sessions.run(),
            Verb::Take(take) => take.run(),
            Verb::List(list) => list.run(),
            Verb::Revert(revert) => revert.run(),
            Verb::Commit(commit) => commit.run(),
            Verb::Drop(drop) => drop.run(),
            Verb::Diff(diff) => diff.run(),
            Verb::Recover(recover) => recover.run(),
            Verb::Doctor(doctor) => doctor.run(),
        }
    }
}

/// Parses the command line. It doesn't return if the arguments ask for help, or if they are wrong:
/// then it prints the help, or the error, and exits with 0 or 2.
pub fn parse(args: impl Iterator<Item = OsString>) -> Cli {
    try_parse(args).unwrap_or_else(|error| error.exit())
}

fn try_parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().color(color());
    let matches = command.try_get_matches_from_mut(without_cargo_word(args))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Drops the word `snapshot`, which cargo puts before the arguments.
fn without_cargo_word(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    args.enumerate()
        .filter(|(index, arg)| !(*index == 1 && arg == "snapshot"))
        .map(|(_, arg)| arg)
}

/// Cargo's setting for colours holds here too. Clap itself reads `NO_COLOR`.
fn color() -> ColorChoice {
    match std::env::var("CARGO_TERM_COLOR").as_deref() {
        Ok("always") => ColorChoice::Always,
        Ok("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse_words(words: &str) -> Result<Cli, clap::Error> {
        try_parse(words.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_ways_to_start_are_one() {
        for words in ["cargo-snapshot snapshot commit", "cargo-snapshot commit"] {
            let cli = parse_words(words).expect("a verb without arguments");
            assert!(matches!(cli.verb, Verb::Commit(_)), "{words}");
        }
    }

    #[test]
    fn the_help_calls_it_as_a_person_does() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Usage: cargo snapshot <COMMAND>"), "{help}");
        let error = parse_words("cargo-snapshot snapshot run --help").expect_err("help");
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        assert!(error.to_string().contains("cargo snapshot run"), "{error}");
    }

    #[test]
    fn what_it_does_not_know_is_a_usage_error() {
        for words in [
            "cargo-snapshot",
            "cargo-snapshot snapshot",
            "cargo-snapshot zap",
            "cargo-snapshot run --zap",
            "cargo-snapshot exec",
            "cargo-snapshot drop",
            "cargo-snapshot drop 0",
            "cargo-snapshot diff first",
            "cargo-snapshot recover",
            "cargo-snapshot revert first",
            "cargo-snapshot take -m",
            "cargo-snapshot doctor --pid",
            "cargo-snapshot doctor --pid 0",
            "cargo-snapshot doctor --pid -1",
            "cargo-snapshot doctor --pid sh",
            "cargo-snapshot doctor --pid 1 sh",
        ] {
            let error = parse_words(words).expect_err(words);
            assert_eq!(error.exit_code(), 2, "{words}");
        }
    }

    #[test]
    fn exec_takes_everything_after_the_program_for_its_arguments() {
        for words in [
            "cargo-snapshot exec --pty never prog --key --pty x -- y",
            "cargo-snapshot exec --pty never -- prog --key --pty x -- y",
        ] {
            let Verb::Exec(exec) = parse_words(words).expect("a program").verb else {
                panic!("{words} is no exec");
            };
            assert_eq!(
                exec.command,
                ["prog", "--key", "--pty", "x", "--", "y"],
                "{words}"
            );
        }
    }

    #[test]
    fn run_has_flags_of_cargo_flags_of_its_own_and_arguments() {
        let words = "cargo-snapshot run -p a --bin b --at-start -F x,y -- --port 1 -- -p";
        let Verb::Run(run) = parse_words(words).expect("a run").verb else {
            panic!("no run");
        };
        assert_eq!(run.cargo.package.as_deref(), Some("a"));
        assert!(run.snapshot.at_start);
        assert_eq!(run.args, ["--port", "1", "--", "-p"]);
        // As with `cargo run`, a plain word needs no dashes before it.
        let Verb::Run(run) = parse_words("cargo-snapshot run --release input.txt --fast")
            .expect("a run")
            .verb
        else {
            panic!("no run");
        };
        assert_eq!(run.args, ["input.txt", "--fast"]);
    }

    #[test]
    fn flags_of_cargo_that_contradict_each_other() {
        for words in [
            "--bin a --example b",
            "--test a --bench b",
            "--bin a --bin b",
            "--release --profile dev",
            "-v -q",
            "-p a -p b",
        ] {
            let error = parse_words(&format!("cargo-snapshot run {words}")).expect_err(words);
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{words}");
        }
    }
}
