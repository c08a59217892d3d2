//! `cargo snapshot take`: takes a snapshot of a session's live process. Called by `cli`.

use clap::Args;
use snapshot_launch::{
    control::Request,
    event::{Event, Taken},
    problem::Problem,
    timeline_view::printable,
};

use crate::second_terminal::{
    answer::{JsonFlag, latency},
    request::{self, SessionFlag},
};

/// Take a snapshot of the live process
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo snapshot take
  cargo snapshot take -m \"before merge\"
  cargo snapshot take -s server --json")]
pub struct Take {
    #[command(flatten)]
    session: SessionFlag,

    /// What to call the snapshot
    #[arg(short, long, value_name = "LABEL")]
    message: Option<String>,

    #[command(flatten)]
    json: JsonFlag,
}

impl Take {
    /// Asks for the snapshot and prints its number.
    ///
    /// # Errors
    /// If no session is meant, or it refuses the take.
    pub fn run(self) -> Result<(), Problem> {
        let request = Request::Take {
            label: self.message,
        };
        let event = request::ask(&self.session, &request)?;
        let Event::Taken(taken) = &event else {
            return Err(request::unexpected());
        };
        self.json.print(&event, || line(taken))
    }
}

/// The snapshot, and below it what a revert will not bring back.
fn line(taken: &Taken) -> String {
    let facts = &taken.facts;
    let mut text = format!(
        "{} taken in {}\n",
        printable(&facts.title()),
        latency(facts.latency_us)
    );
    for lost in &taken.not_rolled_back {
        text += &format!(
            "   not rolled back: {} {}: {}\n",
            printable(&lost.kind),
            printable(&lost.what),
            printable(&lost.why)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_launch::event::{NotRolledBack, Trigger};
    use snapshot_launch::facts::SnapshotFacts;

    #[test]
    fn one_line_and_what_stays() {
        let mut taken = Taken {
            facts: SnapshotFacts {
                id: 3,
                label: None,
                trigger: Trigger::Command,
                latency_us: 900,
                threads: 1,
                rss_bytes: 10_200_000,
            },
            depth: 3,
            moments_ns: None,
            not_rolled_back: Vec::new(),
        };
        assert_eq!(line(&taken), "#3 taken in 0.9 ms\n");
        taken.facts.label = Some("before merge".to_owned());
        taken.not_rolled_back.push(NotRolledBack {
            kind: "socket".to_owned(),
            what: "fd 7".to_owned(),
            why: "its peer goes on".to_owned(),
        });
        assert_eq!(
            line(&taken),
            "#3 \"before merge\" taken in 0.9 ms\n   \
             not rolled back: socket fd 7: its peer goes on\n"
        );
    }
}
