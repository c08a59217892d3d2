//! `cargo snapshot drop`: forgets one snapshot of a session. Called by `cli`.

use clap::Args;
use snapshot_launch::{control::Request, event::Event, problem::Problem};

use crate::second_terminal::{
    answer::JsonFlag,
    request::{self, SessionFlag},
    snapshot_id,
};

/// Forget one snapshot
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot drop 2
  cargo snapshot drop -s server 2")]
pub struct Drop {
    #[command(flatten)]
    session: SessionFlag,

    /// Snapshot to forget
    #[arg(value_name = "N", value_parser = snapshot_id::parse)]
    id: u32,

    #[command(flatten)]
    json: JsonFlag,
}

impl Drop {
    /// Asks for the drop and prints that it is done.
    ///
    /// # Errors
    /// If no session is meant, or it has no such snapshot.
    pub fn run(self) -> Result<(), Problem> {
        let event = request::ask(&self.session, &Request::Drop { id: self.id })?;
        let Event::Dropped { id } = &event else {
            return Err(request::unexpected());
        };
        self.json.print(&event, || format!("#{id} dropped"))
    }
}
