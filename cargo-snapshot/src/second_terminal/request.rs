//! One request to a session: choose the session, ask, wait for the answer.
//!
//! Called by the verbs that change something. Ctrl+C during the wait ends the command but not the
//! request, and says so. That needs a thread, so `run` and `exec` never come here: their launcher
//! forks.

use std::io::{self, Write as _};

use clap::Args;
use snapshot_launch::{
    control::{Answer, Request},
    event::{Event, Refused},
    file_changes::FileChanges,
    problem::{Problem, exit},
    timeline_view::printable,
};

use super::session_choice;

/// The status of a command that Ctrl+C ended: 128 plus the number of the signal.
const INTERRUPTED: i32 = 130;

/// The flag that names a session.
#[derive(Debug, Clone, Args)]
pub struct SessionFlag {
    /// Session to talk to: its name or its launcher's pid [default: the only one]
    #[arg(short, long, value_name = "SESSION")]
    pub session: Option<String>,
}

/// Asks the session and returns what happened.
///
/// # Errors
/// If no session is meant, or the session refuses or doesn't answer.
pub fn ask(session: &SessionFlag, request: &Request) -> Result<Event, Problem> {
    happened(answer(session, request)?)
}

/// Asks the session which files differ.
///
/// # Errors
/// As above.
pub fn ask_for_changes(session: &SessionFlag, request: &Request) -> Result<FileChanges, Problem> {
    match answer(session, request)? {
        Answer::Differs(changes) => Ok(changes),
        other => Err(happened(other).err().unwrap_or_else(unexpected)),
    }
}

fn answer(session: &SessionFlag, request: &Request) -> Result<Answer, Problem> {
    let session = session_choice::find(session.session.as_deref())?;
    let name = &session.listing.session;
    explain_interrupts(name);
    session
        .ask(request)
        .map_err(|error| session_choice::no_answer(name, &error))
}

/// The event in an answer. The program may choose names in a refusal, so they are made printable.
fn happened(answer: Answer) -> Result<Event, Problem> {
    match answer {
        Answer::Done(Event::Refused(Refused { refusal, .. })) => {
            Err(Problem::new(exit::REFUSED, "the request was refused")
                .cause(printable(&refusal.why))
                .help(printable(&refusal.help)))
        }
        Answer::Done(event) => Ok(event),
        Answer::Refused { what, cause, help } => Err(Problem {
            what: printable(&what),
            cause: Some(printable(&cause)).filter(|cause| !cause.is_empty()),
            help: Some(printable(&help)).filter(|help| !help.is_empty()),
            code: exit::REFUSED,
        }),
        Answer::List(_) | Answer::Differs(_) => Err(unexpected()),
    }
}

/// The session answered, but not to this request.
pub fn unexpected() -> Problem {
    Problem::new(
        exit::REFUSED,
        "the session gave an answer to another question",
    )
    .help("check that session and command are of the same version")
}

fn explain_interrupts(session: &str) {
    let message = format!(
        "[snapshot] the request goes on in session `{}`\n",
        printable(session)
    );
    // Without the handler, Ctrl+C ends the command too, but says nothing.
    let _ = ctrlc::set_handler(move || {
        let _ = io::stderr().write_all(message.as_bytes());
        std::process::exit(INTERRUPTED);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_launch::event::{Refusal, Trigger};

    #[test]
    fn what_was_done_comes_back() {
        let event = Event::Dropped { id: 2 };
        assert_eq!(happened(Answer::Done(event.clone())), Ok(event));
    }

    #[test]
    fn refusals_become_problems() {
        let answer = Answer::Refused {
            what: "cannot revert".to_owned(),
            cause: "there is no snapshot".to_owned(),
            help: String::new(),
        };
        assert_eq!(
            happened(answer),
            Err(Problem::new(exit::REFUSED, "cannot revert").cause("there is no snapshot"))
        );
        let event = Event::Refused(Refused {
            trigger: Trigger::Command,
            refusal: Refusal::new("threads", "a second thread runs", "try later"),
        });
        let problem = happened(Answer::Done(event)).expect_err("refused");
        assert_eq!(problem.code, exit::REFUSED);
        assert_eq!(problem.cause.as_deref(), Some("a second thread runs"));
    }
}
