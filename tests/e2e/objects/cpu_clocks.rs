//! Processor time never goes back, whichever way a program asks for it.

use snapshot_tests::{Launch, PipedSession};

/// The kernel's answers to the guest, in its order.
const NAMES: [&str; 12] = [
    "clock",
    "CLOCK_PROCESS_CPUTIME_ID",
    "clock_getcpuclockid",
    "RUSAGE_SELF",
    "times",
    "CLOCK_THREAD_CPUTIME_ID",
    "RUSAGE_THREAD",
    "pthread_getcpuclockid",
    "CLOCK_THREAD_CPUTIME_ID of a second thread",
    "CLOCK_THREAD_CPUTIME_ID of a third thread",
    "RUSAGE_CHILDREN",
    "times, of children",
];

fn look(session: &mut PipedSession) -> Vec<i64> {
    let told = session.ask("look");
    let numbers = told.split(' ');
    numbers
        .map(|number| number.parse().expect("a number"))
        .collect()
}

/// None has gone back, and none is further on by more than this, in microseconds.
fn go_on(session: &mut PipedSession, before: &[i64], at_most: i64) -> Vec<i64> {
    let now = look(session);
    for ((name, before), now) in NAMES.iter().zip(before).zip(&now) {
        assert!(now >= before, "{name}: {before} us, and then {now} us");
        assert!(
            now - before < at_most,
            "{name}: {before} us, and then {now} us"
        );
    }
    now
}

#[test]
fn none_goes_back() {
    for isolate in ["auto", "never"] {
        let mut session = Launch::guest_in_c("cpu_clocks")
            .flag("--isolate")
            .flag(isolate)
            .piped();
        session.ask("burn");
        session.ask("children");
        let mut before = look(&mut session);
        assert!(before.iter().all(|&used| used >= 50_000), "{before:?}");
        for _ in 0..3 {
            session.take();
            session.ask("burn");
            session.ask("children");
            session.revert();
            // What the dead branch has used has not been used.
            let now = go_on(&mut session, &before, 55_000);
            // It runs on.
            session.ask("burn");
            let later = look(&mut session);
            assert!(later[..10].iter().zip(&now).all(|(later, now)| later > now));
            before = later;
        }
        // A child counts for itself.
        let child: i64 = session.ask("fork").parse().expect("a number");
        assert!(child < 50_000, "{child} us");
    }
}
