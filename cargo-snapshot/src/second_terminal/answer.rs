//! Answers on stdout: what a query found, or what a verb did, for a person or as JSON.
//!
//! It is no error if the reader closes the pipe early (`| head`). Called by the verbs of the
//! second terminal and by `doctor`.

use std::io::{self, ErrorKind, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use snapshot_launch::timeline_view;
use snapshot_launch::{
    problem::{Problem, exit},
    timeline_view::printable_json,
};

/// The form of an answer.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonFlag {
    /// Print JSON, on one line
    #[arg(long)]
    pub json: bool,
}

impl JsonFlag {
    /// Prints `value` as JSON with `--json`, else `text`.
    ///
    /// # Errors
    /// If stdout can't be written to.
    pub fn print(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        let mut answer = if self.json {
            let json = serde_json::to_string(value).map_err(|error| cannot_write(&error.into()))?;
            printable_json(&json)
        } else {
            text()
        };
        if !answer.is_empty() && !answer.ends_with('\n') {
            answer.push('\n');
        }
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(answer.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_write(&error)),
            _ => Ok(()),
        }
    }
}

fn cannot_write(error: &io::Error) -> Problem {
    Problem::new(exit::REFUSED, "cannot write the answer").cause(error)
}

/// The microseconds of an event, as a person reads them.
pub fn latency(latency_us: u64) -> String {
    timeline_view::duration(Duration::from_micros(latency_us))
}
