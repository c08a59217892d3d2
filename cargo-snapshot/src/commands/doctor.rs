//! `cargo snapshot doctor`: what a session can promise on this machine, and why not more;
//! whether it can launch a program; what a revert would bring back of a process. Called by
//! `cli`.

use std::ffi::{OsStr, OsString};

use clap::Args;
use snapshot_launch::{
    doctor::{Launchable, Machine, Subject, examine},
    event::Tier,
    problem::{Problem, exit},
    timeline_view::printable,
};

use super::inspection;
use crate::second_terminal::answer::JsonFlag;

/// Say what a session can promise on this machine, for a program, or for a process
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot doctor
  cargo snapshot doctor ./target/debug/merge
  cargo snapshot doctor --pid 4123       What of it would come back after a revert, and
                                         what not; it need not be in a session")]
pub struct Doctor {
    #[command(flatten)]
    json: JsonFlag,

    /// A path, or a name to look for in PATH
    #[arg(conflicts_with = "pid")]
    program: Option<OsString>,

    /// A process that runs: each of its descriptors is looked at, and nothing is changed
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
}

impl Doctor {
    /// Tries what a session would do, and prints the result.
    ///
    /// # Errors
    /// If the machine can't be examined, the process doesn't exist or may not be inspected, or
    /// the program can't be launched.
    pub fn run(self) -> Result<(), Problem> {
        let machine = examine(match (self.pid, &self.program) {
            (Some(pid), _) => Subject::Process(pid),
            (None, Some(program)) => Subject::Program(program),
            (None, None) => Subject::Machine,
        })?;
        self.json.print(&machine, || describe(&machine))?;
        match (&self.program, &machine.program) {
            (Some(called), Some(found)) if found.path.is_none() => Err(refused(called, found)),
            _ => Ok(()),
        }
    }
}

/// The program can't be launched, and the exit status says so too.
fn refused(called: &OsStr, found: &Launchable) -> Problem {
    Problem {
        cause: found.cause.clone(),
        help: found.help.clone(),
        ..Problem::new(
            exit::REFUSED,
            format!("cannot launch `{}`", printable(&called.to_string_lossy())),
        )
    }
}

fn describe(machine: &Machine) -> String {
    let mut text = match machine.tier {
        Tier::Full => {
            "tier: full\n  after a revert the program has the same ids, and its files are as they were\n"
        }
        Tier::IdsDiffer => {
            "tier: ids-differ\n  after a revert the program has new ids, and its files are as they were\n"
        }
    }
    .to_owned();
    let mut line = |head: &str, value: &str| {
        text.push_str(&format!("  {head}{value}\n"));
    };
    if let Some(why) = &machine.why {
        line("cause: ", why);
    }
    if let Some(help) = &machine.help {
        line("help:  ", help);
    }
    line("kernel ", &machine.kernel);
    // A person who asks about one process doesn't need the changes.
    if !machine.changes.is_empty() && machine.process.is_none() {
        text.push_str("what a session changes for the program (--isolate never does without)\n");
        for change in &machine.changes {
            text.push_str(&format!("  - {change}\n"));
        }
    }
    if let Some(path) = machine
        .program
        .as_ref()
        .and_then(|program| program.path.as_ref())
    {
        text.push_str(&format!("{}: can be launched\n", path.display()));
    }
    if let Some(process) = &machine.process {
        text.push_str(&inspection::describe(process));
    }
    text
}
