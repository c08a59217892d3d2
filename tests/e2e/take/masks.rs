//! Calls that unblock a signal while they wait: only that signal's handler interrupts them. A
//! snapshot at the same moment neither hides the signal nor comes before it.

use snapshot_tests::{Launch, PipedSession, Signal, process};

const TAKES: usize = 25;

/// How many children the program has waited for, and how often nothing had interrupted it.
fn stop(session: &mut PipedSession) -> (u64, u64) {
    let answer = session.ask("stop");
    let (rounds, unfounded) = answer.split_once(' ').expect("two numbers");
    let number = |text: &str| text.parse().expect("a number");
    (number(rounds), number(unfounded))
}

fn run(kind: &str, mut take: impl FnMut(&mut PipedSession)) {
    let mut session = Launch::guest("masks").arg(kind).piped();
    session.next_line("it has begun", |line| line == "begun");
    for round in 1..=TAKES {
        take(&mut session);
        if round % 10 == 0 {
            session.commit();
        }
    }
    let (rounds, unfounded) = stop(&mut session);
    assert!(rounds > 0, "{kind}: it waits for its children");
    assert_eq!(unfounded, 0, "{kind}: in {rounds} rounds");
}

#[test]
fn no_interruption_comes_before_its_handler() {
    for kind in ["ppoll", "pselect", "epoll_pwait"] {
        // By a person, straight to the program.
        run(kind, |session| drop(session.take()));
    }
}

#[test]
fn nor_where_the_supervisor_asks() {
    for kind in ["ppoll", "pselect", "epoll_pwait"] {
        run(kind, |session| {
            let launcher = session.launcher_pid();
            process::send(launcher, Signal::SIGUSR1);
            session.next_taken();
        });
    }
}
