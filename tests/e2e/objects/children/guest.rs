//! The guest `children` and its children: how the tests start them and wait for them.

use snapshot_tests::{Event, Launch, PipedSession};

/// The guest's waits for one child.
pub const FOR_ONE: [&str; 6] = ["waitpid", "wait4", "waitid", "pidfd", "group", "pgid"];

/// Its waits for any child.
pub const FOR_ANY: [&str; 5] = ["wait", "plain", "any", "all", "own"];

pub fn guest() -> PipedSession {
    Launch::guest_in_c("children").piped()
}

/// Starts a child with a process group of its own, which every wait for one child finds.
/// Returns its number as it is outside of the session.
pub fn start(session: &mut PipedSession) -> i32 {
    let pid = session.ask("start group");
    session.outside(pid.parse().expect("a process id"))
}

/// Starts a child that this kind of wait finds: `own` looks in the program's own group.
pub fn start_for(session: &mut PipedSession, kind: &str) {
    session.ask(if kind == "own" {
        "start"
    } else {
        "start group"
    });
}

/// The `pid`s of one list of an event.
pub fn pids(event: &Event, list: &str) -> Vec<i64> {
    let children = event.list(list);
    children.iter().map(|child| child.number("pid")).collect()
}
