//! A bench that runs itself as the program to be measured, under the launcher or without.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::env;
use std::fs::File;
use std::process::{Command, Stdio};

use snapshot_launch::flags::SnapshotFlags;
use snapshot_launch::{Launch, launch};

/// Set in the process that launches, and in the process that is measured.
const LAUNCH: &str = "BENCH_LAUNCH";
const MEASURE: &str = "BENCH_MEASURE";

/// What this process does.
pub enum Part {
    /// Be measured, in this case.
    Measured(String),
    /// Run the others and show what comes out.
    Show,
}

/// Finds out; never comes back in the process that launches.
pub fn part() -> Part {
    if let Ok(case) = env::var(MEASURE) {
        return Part::Measured(case);
    }
    let Some(case) = env::var_os(LAUNCH) else {
        return Part::Show;
    };
    let ending = launch(Launch {
        program: own_path().into(),
        args: Vec::new(),
        env: vec![(MEASURE.into(), case)],
        directory: None,
        flags: SnapshotFlags::from_environment(),
    });
    match ending {
        Ok(ending) => ending.leave(),
        Err(problem) => panic!("{problem}"),
    }
}

fn own_path() -> std::path::PathBuf {
    env::current_exe().expect("/proc is mounted")
}

/// This bench once more, to be measured in this case.
pub fn command(case: &str, with_launcher: bool) -> Command {
    let mut command = Command::new(own_path());
    command.env(if with_launcher { LAUNCH } else { MEASURE }, case);
    command
}

/// Runs a case and gives what it has printed.
pub fn run(case: &str, with_launcher: bool) -> String {
    let mut command = command(case, with_launcher);
    // What the program writes there is not rolled back, unlike files of its own.
    command.stdin(figures());
    // The launcher's messages are not wanted, those of a failure are.
    command.stderr(if with_launcher {
        Stdio::null()
    } else {
        Stdio::inherit()
    });
    let output = command.output().expect("the bench can run itself");
    assert!(output.status.success(), "{case}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An empty file without a name.
fn figures() -> File {
    let path = env::temp_dir().join(format!("figures-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("the temp directory is writable");
    std::fs::remove_file(&path).expect("it was just made");
    file
}

/// Runs a case, and gives the figures of each of its rounds: a line with so many numbers.
pub fn rows<const FIGURES: usize>(
    case: &str,
    with_launcher: bool,
    rounds: usize,
) -> Vec<[u64; FIGURES]> {
    let text = run(case, with_launcher);
    let rows: Vec<[u64; FIGURES]> = text
        .lines()
        .filter_map(|line| {
            let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
            numbers.ok()?.try_into().ok()
        })
        .collect();
    assert_eq!(rows.len(), rounds, "the measured program failed: {text}");
    rows
}

/// The values below which a quarter, half and three quarters lie.
pub fn quarters(mut values: Vec<u64>) -> [u64; 3] {
    values.sort_unstable();
    [1, 2, 3].map(|part| values[values.len() * part / 4])
}
