//! The guest `pthreads`, and the ways to end its branches.

use snapshot_tests::{Ending, Launch, PipedSession, Place, Signal, binaries};

/// The ways out of a branch; the last two by a crash of the main thread.
pub const ENDINGS: [Ending; 5] = [
    Ending::Interrupt,
    Ending::Kill,
    Ending::Command,
    Ending::Dies("abort", Signal::SIGABRT),
    Ending::Dies("segv", Signal::SIGSEGV),
];

pub const WORKERS: [i32; 4] = [0, 1, 2, 3];

pub fn start(isolate: &str) -> PipedSession {
    let place = Place::new();
    let file = binaries::source("pthreads.c");
    let program = binaries::compile("cc", &file, &["-O1", "-pthread"], &place.work());
    let mut session = Launch::program(program)
        .flag("--isolate")
        .flag(isolate)
        .place(&place)
        .piped();
    session.next_line("ready", |line| line == "ready");
    session
}

/// With the ids that it had after a revert, and with new ones.
pub fn in_both_tiers(test: impl Fn(&dyn Fn() -> PipedSession)) {
    for isolate in ["auto", "never"] {
        test(&|| start(isolate));
    }
}

/// Gives orders, each with its result.
pub fn expect<const N: usize>(session: &mut PipedSession, orders: [(&str, &str); N]) {
    for (order, result) in orders {
        assert_eq!(session.ask(order), result, "{order}");
    }
}

/// Every worker still follows orders, ends, and is joined with its own value.
pub fn finish(session: &mut PipedSession) -> String {
    for worker in WORKERS {
        assert_eq!(
            session.ask(&format!("in {worker} ping")),
            worker.to_string()
        );
    }
    let end = session.end_by_itself(5);
    let rest = end.strip_prefix("10 ");
    rest.unwrap_or_else(|| panic!("1 + 2 + 3 + 4 is not in {end}"))
        .to_owned()
}
