//! `cargo snapshot sessions`: which sessions run. Called by `cli`.

use std::io::Write as _;

use clap::Args;
use snapshot_launch::control;
use snapshot_launch::{
    control::{Found, Listing},
    problem::Problem,
    timeline_view::printable,
};

use crate::second_terminal::answer::JsonFlag;

/// List the sessions that run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot sessions
  cargo snapshot sessions --json")]
pub struct Sessions {
    #[command(flatten)]
    json: JsonFlag,
}

impl Sessions {
    /// Asks every session and prints a line for each.
    ///
    /// # Errors
    /// If stdout can't be written to.
    pub fn run(self) -> Result<(), Problem> {
        let Found { answering, silent } = control::sessions(None);
        let sessions: Vec<Listing> = answering
            .into_iter()
            .map(|session| session.listing)
            .collect();
        for pid in &silent {
            let _ = writeln!(
                std::io::stderr(),
                "[snapshot] the session of launcher {pid} does not answer: it may be stopped"
            );
        }
        if sessions.is_empty() && silent.is_empty() && !self.json.json {
            // This is no answer, so it doesn't go to stdout. If stderr is gone, nobody reads it.
            let _ = writeln!(std::io::stderr(), "[snapshot] no session is running");
        }
        self.json.print(&sessions, || table(&sessions))
    }
}

/// The sessions in columns under a head; empty if there is no session.
fn table(sessions: &[Listing]) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let names: Vec<_> = sessions
        .iter()
        .map(|session| printable(&session.session))
        .collect();
    let wide = names
        .iter()
        .map(|name| name.chars().count())
        .chain(["SESSION".len()])
        .max()
        .unwrap_or_default();
    let mut table = format!("{:wide$}  LAUNCHER     LIVE  DEPTH\n", "SESSION");
    for (session, name) in sessions.iter().zip(names) {
        let row = format!(
            "{name:wide$}  {:>8}  {:>7}  {:>5}\n",
            session.launcher_pid, session.live_pid, session.depth
        );
        table.push_str(&row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let session = |name: &str, launcher_pid, depth| Listing {
            session: name.to_owned(),
            launcher_pid,
            live_pid: launcher_pid + 2,
            depth,
            snapshots: Vec::new(),
        };
        assert_eq!(
            table(&[
                session("tour", 4121, 2),
                session("a longer name", 1_234_567, 0)
            ]),
            "SESSION        LAUNCHER     LIVE  DEPTH\n\
             tour               4121     4123      2\n\
             a longer name   1234567  1234569      0\n"
        );
        assert_eq!(table(&[]), "");
    }
}
