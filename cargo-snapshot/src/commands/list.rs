//! `cargo snapshot list`: the timeline of a session, as a tree. Called by `cli`.

use std::io::stdout;

use clap::Args;
use snapshot_launch::problem::Problem;
use snapshot_launch::timeline_view;

use crate::second_terminal::{answer::JsonFlag, request::SessionFlag, session_choice};

/// Show the timeline of a session, as a tree
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot list
  cargo snapshot list -s server --json")]
pub struct List {
    #[command(flatten)]
    session: SessionFlag,

    #[command(flatten)]
    json: JsonFlag,
}

impl List {
    /// Asks the session and prints its timeline.
    ///
    /// # Errors
    /// If no session is meant.
    pub fn run(self) -> Result<(), Problem> {
        let listing = session_choice::find(self.session.session.as_deref())?.listing;
        self.json
            .print(&listing, || timeline_view::render(&listing, columns()))
    }
}

/// How wide a line may be: as wide as the terminal, or without limit if stdout is none.
fn columns() -> usize {
    terminal_size::terminal_size_of(stdout())
        .map_or(usize::MAX, |(terminal_size::Width(columns), _)| {
            columns.into()
        })
}
