//! `cargo snapshot revert`: ends the live branch of a session and goes on from a snapshot.
//! Called by `cli`.

use clap::Args;
use snapshot_launch::{
    control::Request,
    event::{Event, Reverted},
    problem::Problem,
};

use crate::second_terminal::{
    answer::{JsonFlag, latency},
    request::{self, SessionFlag},
    snapshot_id,
};

/// End the live branch and go on from a snapshot
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot revert            Go on from the newest snapshot
  cargo snapshot revert 2          Go on from #2; newer snapshots go
  cargo snapshot revert --force    Bring back files that others have changed
  cargo snapshot revert --keep     Leave the snapshot there for another try
  cargo snapshot revert 2 --ahead  Leave newer snapshots there, to go forward to them again")]
pub struct Revert {
    #[command(flatten)]
    session: SessionFlag,

    /// Snapshot to go on from [default: the newest]
    #[arg(value_name = "N", value_parser = snapshot_id::parse)]
    id: Option<u32>,

    /// Leave the snapshot there for another try
    #[arg(long)]
    keep: bool,

    /// Also bring back files that others have changed since; their version is kept beside
    #[arg(long)]
    force: bool,

    /// Leave newer snapshots there too, to go forward to them again; with --no-files only
    #[arg(long)]
    ahead: bool,

    #[command(flatten)]
    json: JsonFlag,
}

impl Revert {
    /// Asks for the revert and prints from which snapshot the program goes on.
    ///
    /// # Errors
    /// If no session is meant, or it has no such snapshot.
    pub fn run(self) -> Result<(), Problem> {
        let request = Request::Revert {
            id: self.id,
            keep: self.keep,
            force: self.force,
            ahead: self.ahead,
        };
        let event = request::ask(&self.session, &request)?;
        let Event::Reverted(reverted) = &event else {
            return Err(request::unexpected());
        };
        self.json.print(&event, || line(reverted))
    }
}

fn line(reverted: &Reverted) -> String {
    let mut line = format!(
        "reverted to #{} in {}",
        reverted.id,
        latency(reverted.latency_us)
    );
    if reverted.kept {
        line += ", and kept it";
    }
    if !reverted.same_ids {
        line += &format!("; live is now {}", reverted.live_pid);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let mut reverted = Reverted {
            id: 2,
            depth: 1,
            kept: false,
            live_pid: 4130,
            latency_us: 1_100,
            same_ids: true,
            children_kept: Vec::new(),
            children_ended: Vec::new(),
        };
        assert_eq!(line(&reverted), "reverted to #2 in 1.1 ms");
        reverted.kept = true;
        reverted.same_ids = false;
        assert_eq!(
            line(&reverted),
            "reverted to #2 in 1.1 ms, and kept it; live is now 4130"
        );
    }
}
