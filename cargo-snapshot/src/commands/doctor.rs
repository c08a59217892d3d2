//! `cargo snapshot doctor`: what a session can promise on this machine, and why not more;
//! whether a program can be launched in one; what would come back of a process.

use std::ffi::OsString;

use clap::Args;
use snapshot_launch::doctor::{Machine, Subject, examine};
use snapshot_launch::event::Tier;
use snapshot_launch::problem::Problem;

use super::inspection;
use crate::answer::JsonFlag;

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
    /// Tries what a session would do, and prints what came of it.
    ///
    /// # Errors
    /// Where it can't be tried; no such process, or one that may not be looked into.
    pub fn run(self) -> Result<(), Problem> {
        let machine = examine(match (self.pid, &self.program) {
            (Some(pid), _) => Subject::Process(pid),
            (None, Some(program)) => Subject::Program(program),
            (None, None) => Subject::Machine,
        })?;
        self.json.print(&machine, || describe(&machine))
    }
}

fn describe(machine: &Machine) -> String {
    let mut text = match machine.tier {
        Tier::Full => {
            "tier: full\n  after a revert the program has the same ids; files are not rolled back\n"
        }
        Tier::IdsDiffer => {
            "tier: ids-differ\n  after a revert the program has new ids; files are not rolled back\n"
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
    // They are of no interest to whoever asks about one process.
    if !machine.changes.is_empty() && machine.process.is_none() {
        text.push_str("what a session changes for the program (--isolate never does without)\n");
        for change in &machine.changes {
            text.push_str(&format!("  - {change}\n"));
        }
    }
    match &machine.program {
        None => {}
        Some(program) => match (&program.path, &program.cause) {
            (Some(path), _) => {
                text.push_str(&format!("{}: can be launched\n", path.display()));
            }
            (None, cause) => {
                let cause = cause.as_deref().unwrap_or("the reason is not known");
                text.push_str(&format!(
                    "the program can't be launched\n  cause: {cause}\n"
                ));
                if let Some(help) = &program.help {
                    text.push_str(&format!("  help:  {help}\n"));
                }
            }
        },
    }
    if let Some(process) = &machine.process {
        text.push_str(&inspection::describe(process));
    }
    text
}
