//! `snapshot-launch PROGRAM ARGS`: the launcher as a program, and as a cargo runner.

use std::process::ExitCode;

fn main() -> ExitCode {
    let problem = snapshot_launch::cli::run();
    eprintln!("{problem}");
    ExitCode::from(problem.code)
}
