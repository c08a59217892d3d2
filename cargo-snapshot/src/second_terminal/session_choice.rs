//! Which session a command of the second terminal means: the one of that name or launcher's pid,
//! or the only one.
//!
//! It never guesses among several: a wrong revert can't be taken back. Called by `request` and
//! `commands::list`.

use std::io::{self, ErrorKind};

use snapshot_launch::control;
use snapshot_launch::{
    control::{Found, Listing, Session},
    problem::{Problem, exit},
    timeline_view::printable,
};

/// The session that is meant. It has just answered.
///
/// # Errors
/// If no session has that name, or several could be meant.
pub fn find(wanted: Option<&str>) -> Result<Session, Problem> {
    // The pid is in the name of the socket, so there is no need to ask the other sessions.
    if let Some(wanted) = wanted
        && let Ok(pid) = wanted.parse()
    {
        let mut found = control::sessions(Some(pid));
        if found.answering.is_empty() && !found.silent.is_empty() {
            return Err(no_answer(wanted, &ErrorKind::WouldBlock.into()));
        }
        if let (1, Some(session)) = (found.answering.len(), found.answering.pop()) {
            return Ok(session);
        }
    }
    choose(control::sessions(None), wanted)
}

/// What to say of a session that exists but doesn't answer.
pub fn no_answer(session: &str, error: &io::Error) -> Problem {
    let problem = Problem::new(
        exit::REFUSED,
        format!("session `{}` doesn't answer", printable(session)),
    );
    match error.kind() {
        // A read with a time limit ends so when the time is over.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => problem
            .cause("it took too long; what was asked for may still happen")
            .help("see `cargo snapshot list`; a stopped session answers after `fg`"),
        _ => problem
            .cause(error)
            .help("see `cargo snapshot sessions` for those that run"),
    }
}

fn choose(found: Found, wanted: Option<&str>) -> Result<Session, Problem> {
    let Found {
        answering: sessions,
        silent,
    } = found;
    let Some(wanted) = wanted else {
        // The silent session may be the wanted one.
        if let (true, [pid]) = (sessions.is_empty(), silent.as_slice()) {
            return Err(no_answer(&pid.to_string(), &ErrorKind::WouldBlock.into()));
        }
        return match <[Session; 1]>::try_from(sessions) {
            Ok([session]) if silent.is_empty() => Ok(session),
            Ok([session]) => Err(several(&[session], &silent)),
            Err(none) if none.is_empty() && silent.is_empty() => {
                Err(nothing_runs("no session is running"))
            }
            Err(sessions) => Err(several(&sessions, &silent)),
        };
    };
    let pid = wanted.parse::<i32>().ok();
    // Two launchers may have the same pid, in two containers.
    let is_launcher = |session: &Session| Some(session.listing.launcher_pid) == pid;
    let by_pid = sessions.iter().any(is_launcher);
    let (mut meant, others): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|session| {
        if by_pid {
            is_launcher(session)
        } else {
            session.listing.session == wanted
        }
    });
    match (meant.len(), meant.pop()) {
        (1, Some(session)) => Ok(session),
        (_, Some(last)) => {
            meant.push(last);
            Err(Problem::new(
                exit::REFUSED,
                format!("several sessions are called `{wanted}`"),
            )
            .cause(lines(&meant))
            .help("name one by its launcher's pid, or start each with a `--name` of its own"))
        }
        (_, None) => {
            let what = format!("no session is called `{wanted}`");
            Err(if others.is_empty() {
                nothing_runs(&what)
            } else {
                Problem::new(exit::REFUSED, what)
                    .cause(format!("these are running:\n         {}", lines(&others)))
                    .help("name one with `-s SESSION`: its name or its launcher's pid")
            })
        }
    }
}

fn several(sessions: &[Session], silent: &[i32]) -> Problem {
    let silent = silent
        .iter()
        .map(|pid| format!("launcher {pid}  does not answer"));
    let all: Vec<String> = std::iter::once(lines(sessions))
        .filter(|lines| !lines.is_empty())
        .chain(silent)
        .collect();
    Problem::new(exit::REFUSED, "several sessions are running")
        .cause(all.join("\n         "))
        .help("name one with `-s SESSION`: its name or its launcher's pid")
}

fn nothing_runs(what: &str) -> Problem {
    Problem::new(exit::REFUSED, what)
        .cause(format!("no launcher listens in {}", control::places()))
        .help("start one with `cargo snapshot run` or `cargo snapshot exec PROGRAM`")
}

/// One session a line, indented to stand under `cause:`.
fn lines(sessions: &[Session]) -> String {
    let lines: Vec<_> = sessions
        .iter()
        .map(|session| {
            let Listing {
                session,
                launcher_pid,
                depth,
                ..
            } = &session.listing;
            format!(
                "{}  launcher {launcher_pid}  depth {depth}",
                printable(session)
            )
        })
        .collect();
    lines.join("\n         ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, launcher_pid: i32) -> Session {
        Session::of(Listing {
            session: name.to_owned(),
            launcher_pid,
            live_pid: launcher_pid + 2,
            depth: 1,
            snapshots: Vec::new(),
        })
    }

    fn chosen(sessions: &[(&str, i32)], wanted: Option<&str>) -> Result<i32, Problem> {
        let found = Found {
            answering: sessions
                .iter()
                .map(|(name, pid)| session(name, *pid))
                .collect(),
            silent: Vec::new(),
        };
        choose(found, wanted).map(|session| session.listing.launcher_pid)
    }

    #[test]
    fn the_only_one_needs_no_name() {
        assert_eq!(chosen(&[("tour", 10)], None), Ok(10));
        let problem = chosen(&[], None).expect_err("none");
        assert_eq!(problem.code, exit::REFUSED);
        assert_eq!(problem.what, "no session is running");
        assert!(problem.help.is_some());
    }

    #[test]
    fn several_are_listed() {
        let problem = chosen(&[("tour", 10), ("server", 20)], None).expect_err("two");
        assert_eq!(problem.code, exit::REFUSED);
        assert_eq!(
            problem.cause.as_deref(),
            Some("tour  launcher 10  depth 1\n         server  launcher 20  depth 1")
        );
    }

    #[test]
    fn a_silent_one_is_never_passed_over() {
        let found = |names: &[(&str, i32)]| Found {
            answering: names
                .iter()
                .map(|(name, pid)| session(name, *pid))
                .collect(),
            silent: vec![7],
        };
        let problem = choose(found(&[("tour", 10)]), None).expect_err("which one?");
        assert!(problem.cause.expect("both").contains("launcher 7"));
        let problem = choose(found(&[]), None).expect_err("it says nothing");
        assert!(problem.what.contains('7'), "{}", problem.what);
        assert!(choose(found(&[("tour", 10)]), Some("tour")).is_ok());
    }

    #[test]
    fn a_name_or_a_pid_chooses() {
        let sessions = [("tour", 10), ("server", 20), ("tour", 30)];
        assert_eq!(chosen(&sessions, Some("server")), Ok(20));
        assert_eq!(chosen(&sessions, Some("30")), Ok(30));
        let problem = chosen(&sessions, Some("tour")).expect_err("two");
        let cause = problem.cause.expect("both");
        assert!(
            cause.contains("10") && cause.contains("30") && !cause.contains("20"),
            "{cause}"
        );
        let problem = chosen(&sessions, Some("zap")).expect_err("none");
        assert!(
            problem
                .cause
                .expect("the others")
                .contains("server  launcher 20")
        );
        // Neither the beginning of a name nor the pid of the live process is enough.
        assert!(chosen(&sessions, Some("serv")).is_err());
        assert!(chosen(&sessions, Some("22")).is_err());
        assert!(chosen(&[], Some("tour")).is_err());
    }

    #[test]
    fn a_pid_goes_before_a_name() {
        assert_eq!(chosen(&[("20", 10), ("server", 20)], Some("20")), Ok(20));
        assert_eq!(chosen(&[("20", 10), ("server", 30)], Some("20")), Ok(10));
    }

    #[test]
    fn silence_has_its_own_help() {
        let silent = no_answer("tour", &io::Error::from(ErrorKind::WouldBlock));
        assert!(silent.cause.expect("a cause").contains("may still happen"));
        let gone = no_answer("tour", &io::Error::from(ErrorKind::ConnectionReset));
        assert!(gone.help.expect("help").contains("sessions"));
        assert_eq!(gone.code, exit::REFUSED);
    }
}
