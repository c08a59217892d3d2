//! The trigger reaches any thread that the kernel or a sender picks, whatever it does at the
//! time. The snapshot has the whole program, and all of it comes back.

use snapshot_tests::{Launch, PipedSession, Seed, Signal, process};

/// How often each kind of thread is hit.
const ROUNDS: usize = 20;

/// How many of these snapshots are kept until one is gone back to.
const KEPT: usize = 5;

/// A thread of the live process that is not its first.
fn any_other_thread(session: &mut PipedSession, seed: &mut Seed) -> (i32, i32) {
    let live = session.live_pid();
    let threads = process::thread_ids(live);
    assert!(threads.len() > 1, "it has threads: {threads:?}");
    (live, *seed.pick(&threads[1..]))
}

/// Takes by a signal to one thread; the program's threads all get on, and after each few
/// snapshots all get on from the newest.
fn hit(mut session: PipedSession) {
    let mut seed = Seed::new();
    session.ask("advance");
    for round in 1..=ROUNDS {
        let (live, thread) = any_other_thread(&mut session, &mut seed);
        process::send_to_thread(live, thread, Signal::SIGUSR1);
        let taken = session.next_taken();
        assert_eq!(taken.text("trigger"), "signal");
        session.ask("advance");
        if round % KEPT == 0 {
            session.revert();
            session.ask("advance");
            session.commit();
        }
    }
    assert_eq!(session.events_named("taken").len(), ROUNDS);
}

fn crowd(arguments: &[&str]) -> PipedSession {
    Launch::guest("crowd").args(arguments).piped()
}

#[test]
fn a_thread_that_naps() {
    hit(crowd(&["count"]));
}

#[test]
fn a_thread_that_allocates() {
    hit(crowd(&["heap"]));
}

#[test]
fn a_thread_in_a_handler_of_its_own() {
    hit(crowd(&["handler"]));
}

#[test]
fn a_thread_in_a_handler_on_an_alternate_stack() {
    hit(crowd(&["alternate", "4", "0"]));
}

#[test]
fn a_thread_in_a_handler_on_an_alternate_stack_as_small_as_rusts() {
    hit(crowd(&["alternate", "4", "8192"]));
}

#[test]
fn a_thread_with_all_vector_registers_in_use() {
    hit(Launch::guest_in_c("registers").piped());
}

#[test]
fn any_thread_when_the_first_blocks_the_trigger() {
    let mut session = crowd(&["count"]);
    session.ask("block");
    for id in 1..=3 {
        session.signal_live(Signal::SIGUSR1);
        assert_eq!(session.next_taken().number("id"), id);
    }
    session.signal(Signal::SIGUSR1);
    session.next_taken();
    assert!(session.command("take", &[]).success());
    session.next_taken();
    session.revert();
    session.ask("advance");
    session.ask("unblock");
    // None was left over to be delivered now.
    session.ask("advance");
    assert_eq!(session.events_named("taken").len(), 5);
    hit(session_of_blocked_first());
}

/// The same, hit thread by thread.
fn session_of_blocked_first() -> PipedSession {
    let mut session = crowd(&["count"]);
    session.ask("block");
    session
}

#[test]
fn the_first_thread_when_all_others_block_every_signal() {
    let mut session = crowd(&["blocked"]);
    session.ask("advance");
    for id in 1..=5 {
        session.signal_live(Signal::SIGUSR1);
        assert_eq!(session.next_taken().number("id"), id);
        session.ask("advance");
    }
    session.revert();
    session.ask("advance");
}
