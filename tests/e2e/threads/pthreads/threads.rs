//! A program's actions on a thread by `pthread_t`: join, cancel, signal, name, schedule. And what
//! a thread has of its own.

use snapshot_tests::{Ending, PipedSession, Signal};

use super::guest::{ENDINGS, WORKERS, expect, finish, in_both_tiers};

#[test]
fn threads_are_joined_with_their_values() {
    in_both_tiers(|start| {
        let mut session = start();
        for ending in ENDINGS {
            expect(
                &mut session,
                [
                    ("spawn 0 sem 42", "0"),
                    ("spawn 1 sem 43", "0"),
                    // This one has ended by the snapshot, and nobody has asked for its value.
                    ("spawn 2 sem 44", "0"),
                    ("release 2", "0"),
                ],
            );
            let live = session.live_pid();
            session.wait_until("one has ended", || {
                // Main, the workers, and the two that wait.
                snapshot_tests::process::threads(live).len() == 1 + WORKERS.len() + 2
            });
            session.ask("begin 1 join 0");
            session.branch(ending, |session| {
                expect(
                    session,
                    [
                        ("release 0", "0"),
                        ("end 1", "42"),
                        ("release 1", "0"),
                        ("join 1", "43"),
                        ("join 2", "44"),
                    ],
                );
            });
            expect(
                &mut session,
                [
                    ("try-join 1", "EBUSY"),
                    ("release 0", "0"),
                    ("end 1", "42"),
                    ("release 1", "0"),
                    ("in 3 join 1", "43"),
                    ("join 2", "44"),
                    // And one that the revived program has made.
                    ("spawn 3 sem 45", "0"),
                    ("release 3", "0"),
                    ("join 3", "45"),
                ],
            );
        }
        assert_eq!(finish(&mut session), format!("0 {}", 4 * ENDINGS.len()));
    });
}

#[test]
fn threads_are_cancelled_where_they_block() {
    in_both_tiers(|start| {
        let kinds = ["sem", "read", "pause", "sleep", "cond"];
        let mut session = start();
        let mut cleanups = 0;
        for ending in ENDINGS {
            for (index, kind) in kinds.iter().enumerate() {
                assert_eq!(session.ask(&format!("spawn {index} {kind}")), "0");
            }
            let cancel = |session: &mut PipedSession| {
                for index in 0..kinds.len() {
                    assert_eq!(session.ask(&format!("cancel {index}")), "0");
                    assert_eq!(session.ask(&format!("join {index}")), "cancelled");
                }
            };
            session.branch(ending, |session| {
                cancel(session);
                let all = cleanups + kinds.len();
                assert_eq!(session.ask("cleanups"), all.to_string());
            });
            assert_eq!(session.ask("cleanups"), cleanups.to_string());
            cancel(&mut session);
            cleanups += kinds.len();
            assert_eq!(session.ask("cleanups"), cleanups.to_string());
            expect(
                &mut session,
                [
                    // The one in the condition variable has given the mutex back.
                    ("in 0 permits 0", "0"),
                    ("spawn 5 pause", "0"),
                    ("cancel 5", "0"),
                    ("join 5", "cancelled"),
                ],
            );
            cleanups += 1;
        }
        assert_eq!(finish(&mut session), format!("0 {cleanups}"));
    });
}

#[test]
fn signals_reach_the_chosen_thread() {
    in_both_tiers(|start| {
        let mut session = start();
        let everyone = |session: &mut PipedSession| {
            for worker in [2, 0, 1] {
                let who = worker.to_string();
                assert_eq!(session.ask(&format!("alive {who}")), "yes");
                assert_eq!(session.ask(&format!("kill {who}")), format!("{who} 0"));
                assert_eq!(
                    session.ask(&format!("queue {who} 7{who}")),
                    format!("{who} 7{who}")
                );
                assert_eq!(session.ask(&format!("in {who} raise")), who);
            }
            assert_eq!(session.ask("raise"), "-1", "the main thread, by itself");
        };
        everyone(&mut session);
        for ending in ENDINGS {
            // It is interrupted in the middle of waiting, and goes on with that.
            session.ask("begin 3 permit-wait");
            session.branch(ending, |session| {
                expect(
                    session,
                    [("kill 3", "3 0"), ("permits 1", "1"), ("end 3", "0")],
                );
            });
            everyone(&mut session);
            expect(
                &mut session,
                [
                    ("kill 3", "3 0"),
                    ("permits 0", "0"),
                    ("queue 3 9", "3 9"),
                    ("permits 1", "1"),
                    ("end 3", "0"),
                ],
            );
        }
        finish(&mut session);
    });
}

#[test]
fn what_belongs_to_a_thread_stays_its_own() {
    in_both_tiers(|start| {
        let mut session = start();
        let mut destructors = 0;
        for (round, ending) in (1..).zip(ENDINGS) {
            for worker in WORKERS {
                let value = round * 10 + worker;
                let former = if round == 1 { 100 } else { (round - 1) * 10 } + worker;
                assert_eq!(session.ask(&format!("in {worker} tls")), former.to_string());
                for place in ["tls", "key"] {
                    let order = format!("in {worker} {place} {value}");
                    assert_eq!(session.ask(&order), value.to_string());
                }
            }
            assert_eq!(session.ask("tls"), "11", "the main thread's");
            session.ask("spawn 0 sem 1");
            session.branch(ending, |session| {
                for worker in WORKERS {
                    session.ask(&format!("in {worker} tls 999"));
                    session.ask(&format!("in {worker} key 999"));
                }
                expect(session, [("release 0", "0"), ("join 0", "1")]);
                assert_eq!(session.ask("destructors"), (destructors + 1).to_string());
            });
            for worker in WORKERS {
                let value = (round * 10 + worker).to_string();
                for place in ["tls", "key"] {
                    assert_eq!(session.ask(&format!("in {worker} {place}")), value);
                }
            }
            assert_eq!(session.ask("destructors"), destructors.to_string());
            expect(&mut session, [("release 0", "0"), ("join 0", "1")]);
            destructors += 1;
            assert_eq!(session.ask("destructors"), destructors.to_string());
        }
        // Each worker leaves a value behind as well.
        assert_eq!(finish(&mut session), format!("0 {}", destructors + 4));
    });
}

#[test]
fn threads_are_found_by_their_names_and_clocks() {
    in_both_tiers(|start| {
        let mut session = start();
        let all = session.ask("affinity 0");
        for (round, ending) in ENDINGS.into_iter().enumerate() {
            let name = format!("kept-{round}");
            assert_eq!(session.ask(&format!("set-name 1 {name}")), "0");
            expect(&mut session, [("pin 2 one", "0"), ("affinity 2", "1")]);
            session.branch(ending, |session| {
                expect(
                    session,
                    [
                        ("set-name 1 undone", "0"),
                        ("in 1 my-name", "undone"),
                        ("pin 2 all", "0"),
                    ],
                );
                assert_eq!(session.ask("affinity 2"), all);
            });
            assert_eq!(session.ask("get-name 1"), name);
            assert_eq!(session.ask("in 1 my-name"), name);
            expect(
                &mut session,
                [
                    ("affinity 2", "1"),
                    ("pin 2 all", "0"),
                    ("set-name 3 renamed", "0"),
                    ("in 3 my-name", "renamed"),
                    ("get-name 3", "renamed"),
                ],
            );
            let live = session.live_pid();
            let names = snapshot_tests::process::threads(live);
            assert!(names.contains(&name), "{names:?}");
            assert!(names.contains(&"renamed".to_owned()), "{names:?}");
            for worker in WORKERS {
                assert_eq!(session.ask(&format!("affinity {worker}")), all);
                // A clock of this thread alone: it shows what this thread has burnt.
                let clock = format!("cpu-clock {worker}");
                let before: u64 = session.ask(&clock).parse().expect("nanoseconds");
                session.ask(&format!("in {worker} burn 20"));
                let after: u64 = session.ask(&clock).parse().expect("nanoseconds");
                assert!(after >= before + 20_000_000, "{before} {after}");
                let address = session.ask(&format!("in {worker} address"));
                let stack = session.ask(&format!("stack {worker} {address}"));
                assert_eq!(stack, "inside");
            }
            session.ask("set-name 3 guest");
        }
        finish(&mut session);
    });
}

#[test]
fn scheduling_of_another_thread() {
    in_both_tiers(|start| {
        let mut session = start();
        for ending in ENDINGS {
            expect(
                &mut session,
                [("set-policy 1 batch", "0"), ("policy 1", "batch")],
            );
            session.branch(ending, |session| {
                expect(
                    session,
                    [("set-policy 1 other", "0"), ("policy 1", "other")],
                );
            });
            expect(
                &mut session,
                [
                    ("policy 1", "batch"),
                    ("policy 0", "other"),
                    ("set-policy 0 batch", "0"),
                    ("policy 0", "batch"),
                    ("set-policy 0 other", "0"),
                    ("set-policy 1 other", "0"),
                ],
            );
        }
        finish(&mut session);
    });
}

#[test]
fn a_worker_crashes() {
    in_both_tiers(|start| {
        let mut session = start();
        for (round, ending) in (0..).zip([
            Ending::Dies("in 1 abort", Signal::SIGABRT),
            Ending::Dies("in 2 segv", Signal::SIGSEGV),
            Ending::Dies("in 1 segv", Signal::SIGSEGV),
            Ending::Dies("in 0 abort", Signal::SIGABRT),
        ]) {
            let counter = (10 * round).to_string();
            session.branch(ending, |session| {
                session.ask("in 3 count normal0 5");
                let counter = (10 * round + 5).to_string();
                assert_eq!(session.ask("counter"), counter);
            });
            assert_eq!(session.ask("counter"), counter);
            session.ask("in 3 count normal0 10");
        }
        assert_eq!(finish(&mut session), "40 0");
    });
}
