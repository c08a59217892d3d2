//! `cargo snapshot commit`: makes the live branch of a session the truth. Called by `cli`.

use clap::Args;
use snapshot_launch::{control::Request, event::Event, problem::Problem};

use crate::second_terminal::{
    answer::JsonFlag,
    request::{self, SessionFlag},
};

/// Make the live branch the truth: drop every snapshot
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot commit
  cargo snapshot commit -s server")]
pub struct Commit {
    #[command(flatten)]
    session: SessionFlag,

    #[command(flatten)]
    json: JsonFlag,
}

impl Commit {
    /// Asks for the commit and prints which snapshots it dropped.
    ///
    /// # Errors
    /// If no session is meant, or the session refuses.
    pub fn run(self) -> Result<(), Problem> {
        let event = request::ask(&self.session, &Request::Commit)?;
        let Event::Committed { dropped, files } = &event else {
            return Err(request::unexpected());
        };
        self.json.print(&event, || line(dropped, *files))
    }
}

fn line(dropped: &[u32], files: u64) -> String {
    if dropped.is_empty() {
        return "committed: there was no snapshot".to_owned();
    }
    let dropped: Vec<_> = dropped.iter().map(|id| format!("#{id}")).collect();
    let mut line = format!("committed: dropped {}", dropped.join(", "));
    match files {
        0 => {}
        1 => line += ", merged 1 file",
        files => line += &format!(", merged {files} files"),
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        assert_eq!(line(&[], 0), "committed: there was no snapshot");
        assert_eq!(line(&[1, 2], 0), "committed: dropped #1, #2");
        assert_eq!(line(&[3], 1), "committed: dropped #3, merged 1 file");
        assert_eq!(line(&[3], 12), "committed: dropped #3, merged 12 files");
    }
}
