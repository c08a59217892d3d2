//! `cargo snapshot doctor`: what a session can promise on this machine, and why not more.

use std::ffi::OsString;

use clap::Args;
use snapshot_launch::doctor::{Machine, examine};
use snapshot_launch::event::Tier;
use snapshot_launch::problem::Problem;

use crate::answer::JsonFlag;

/// Say what a session can promise on this machine, and for a program
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot doctor
  cargo snapshot doctor ./target/debug/merge")]
pub struct Doctor {
    #[command(flatten)]
    json: JsonFlag,

    /// A path, or a name to look for in PATH
    program: Option<OsString>,
}

impl Doctor {
    /// Tries what a session would do, and prints what came of it.
    ///
    /// # Errors
    /// Where it can't be tried.
    pub fn run(self) -> Result<(), Problem> {
        let machine = examine(self.program.as_deref())?;
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
    if !machine.changes.is_empty() {
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
    text
}
