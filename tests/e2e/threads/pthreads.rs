//! What POSIX threads and the threads of C++ promise, kept over a revert: locks keep
//! their owners, waiters keep waiting, and whoever is named by its `pthread_t` is found,
//! although the kernel's number of it is new while the C library remembers the old one.

use snapshot_tests::{Ending, Event, Launch, PipedSession, Place, Signal, binaries, outside};

/// The ways out of a branch; the last two by a crash of the main thread.
const ENDINGS: [Ending; 5] = [
    Ending::Interrupt,
    Ending::Kill,
    Ending::Command,
    Ending::Dies("abort", Signal::SIGABRT),
    Ending::Dies("segv", Signal::SIGSEGV),
];

const WORKERS: [i32; 4] = [0, 1, 2, 3];

fn start(isolate: &str) -> PipedSession {
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
fn in_both_tiers(test: impl Fn(&dyn Fn() -> PipedSession)) {
    for isolate in ["auto", "never"] {
        test(&|| start(isolate));
    }
}

/// Gives orders, each with its result.
fn expect<const N: usize>(session: &mut PipedSession, orders: [(&str, &str); N]) {
    for (order, result) in orders {
        assert_eq!(session.ask(order), result, "{order}");
    }
}

/// Every worker still does what it is told, ends, and is joined with its own value.
fn finish(session: &mut PipedSession) -> String {
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

#[test]
fn mutexes_that_are_held_keep_their_owners() {
    in_both_tiers(|start| {
        let mut session = start();
        for ending in ENDINGS {
            expect(
                &mut session,
                [
                    ("in 0 lock recursive0", "0"),
                    ("in 0 lock recursive0", "0"),
                    ("in 1 lock recursive1", "0"),
                    ("in 2 lock errorcheck2", "0"),
                    ("in 3 lock errorcheck3", "0"),
                    ("lock recursive3", "0"),
                    ("lock errorcheck0", "0"),
                ],
            );
            // A waiter waits on over the split, and gets the lock in both branches.
            session.ask("begin 3 lock errorcheck2");
            session.branch(ending, |session| {
                expect(
                    session,
                    [
                        ("in 0 unlock recursive0", "0"),
                        ("in 0 unlock recursive0", "0"),
                        ("in 1 trylock recursive0", "0"),
                        ("in 2 unlock errorcheck2", "0"),
                        ("end 3", "0"),
                        ("unlock errorcheck0", "0"),
                    ],
                );
            });
            expect(
                &mut session,
                [
                    // One level at a time.
                    ("in 1 trylock recursive0", "EBUSY"),
                    ("in 0 lock recursive0", "0"),
                    ("in 0 unlock recursive0", "0"),
                    ("in 0 unlock recursive0", "0"),
                    ("in 1 trylock recursive0", "EBUSY"),
                    ("in 0 unlock recursive0", "0"),
                    ("in 1 trylock recursive0", "0"),
                    ("in 1 unlock recursive0", "0"),
                    ("in 0 trylock recursive1", "EBUSY"),
                    ("in 0 unlock recursive1", "EPERM"),
                    ("in 1 unlock recursive1", "0"),
                    // The owner is known as such, and nobody else is.
                    ("in 2 lock errorcheck2", "EDEADLK"),
                    ("in 1 unlock errorcheck2", "EPERM"),
                    ("in 1 timedlock errorcheck2 20", "ETIMEDOUT"),
                    ("in 2 unlock errorcheck2", "0"),
                    ("end 3", "0"),
                    ("in 2 trylock errorcheck2", "EBUSY"),
                    ("in 3 unlock errorcheck2", "0"),
                    ("in 3 lock errorcheck3", "EDEADLK"),
                    ("in 3 unlock errorcheck3", "0"),
                    // The main thread's.
                    ("in 0 trylock recursive3", "EBUSY"),
                    ("unlock recursive3", "0"),
                    ("lock errorcheck0", "EDEADLK"),
                    ("in 0 trylock errorcheck0", "EBUSY"),
                    ("unlock errorcheck0", "0"),
                    ("in 0 trylock errorcheck0", "0"),
                    ("in 0 unlock errorcheck0", "0"),
                ],
            );
        }
        finish(&mut session);
    });
}

#[test]
fn mutexes_of_every_kind_exclude() {
    in_both_tiers(|start| {
        // One that inherits priorities names its owner to the kernel, by the number that is
        // new after a revert, as soon as there is a waiter: so nobody waits for that kind.
        let contended = [
            "normal0",
            "adaptive0",
            "recursive0",
            "errorcheck0",
            "robust0",
        ];
        let mut session = start();
        let mut counter = 0;
        for ending in ENDINGS {
            session.branch(ending, |session| {
                expect(
                    session,
                    [("in 0 count robust0 10", "10"), ("in 1 lock pi1", "0")],
                );
                assert_eq!(session.ask("counter"), (counter + 10).to_string());
            });
            assert_eq!(session.ask("counter"), counter.to_string());
            for mutex in contended {
                for worker in WORKERS {
                    session.ask(&format!("begin {worker} count {mutex} 500"));
                }
                for worker in WORKERS {
                    assert_eq!(session.ask(&format!("end {worker}")), "500");
                }
                counter += 4 * 500;
            }
            for worker in WORKERS {
                let order = format!("in {worker} count pi{worker} 100");
                assert_eq!(session.ask(&order), "100");
                counter += 100;
            }
            expect(
                &mut session,
                [
                    ("in 0 trylock pi1", "0"),
                    ("in 1 trylock pi1", "EBUSY"),
                    ("in 0 unlock pi1", "0"),
                    ("in 0 trylock robust1", "0"),
                    ("in 1 trylock robust1", "EBUSY"),
                    ("in 0 unlock robust1", "0"),
                    ("in 0 spin", "0"),
                ],
            );
            assert_eq!(session.ask("counter"), counter.to_string());
        }
        assert_eq!(finish(&mut session), format!("{counter} 0"));
    });
}

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
fn barriers_and_read_write_locks() {
    in_both_tiers(|start| {
        let mut session = start();
        for ending in ENDINGS {
            for worker in [0, 1, 2] {
                session.ask(&format!("begin {worker} barrier"));
            }
            let last_one = [
                ("in 3 barrier", "passed"),
                ("end 0", "passed"),
                ("end 1", "passed"),
                ("end 2", "passed"),
            ];
            session.branch(ending, |session| expect(session, last_one));
            expect(&mut session, last_one);
        }
        for ending in ENDINGS {
            expect(
                &mut session,
                [("in 0 read-lock", "0"), ("in 1 read-lock", "0")],
            );
            session.ask("begin 2 write-lock");
            session.branch(ending, |session| {
                expect(
                    session,
                    [
                        ("in 0 rw-unlock", "0"),
                        ("in 1 rw-unlock", "0"),
                        ("end 2", "0"),
                        ("in 2 rw-unlock", "0"),
                    ],
                );
            });
            expect(
                &mut session,
                [
                    ("in 3 try-write-lock", "EBUSY"),
                    ("in 0 rw-unlock", "0"),
                    ("in 3 try-write-lock", "EBUSY"),
                    ("in 1 rw-unlock", "0"),
                    ("end 2", "0"),
                    ("in 3 try-write-lock", "EBUSY"),
                    ("in 2 rw-unlock", "0"),
                    ("in 3 try-write-lock", "0"),
                    ("in 3 rw-unlock", "0"),
                ],
            );
        }
        finish(&mut session);
    });
}

#[test]
fn condition_variables_and_semaphores() {
    in_both_tiers(|start| {
        let mut session = start();
        for ending in ENDINGS {
            // Forever, longer than the test, and not that long.
            session.ask("begin 0 permit-wait");
            session.ask("begin 1 permit-wait 300000");
            session.ask("begin 2 permit-wait 50");
            session.ask("begin 3 sem-wait 300000");
            session.branch(ending, |session| {
                expect(
                    session,
                    [
                        ("end 2", "ETIMEDOUT"),
                        ("permits 2", "2"),
                        ("end 0", "0"),
                        ("end 1", "0"),
                        ("sem-post", "0"),
                        ("end 3", "0"),
                    ],
                );
            });
            expect(
                &mut session,
                [
                    ("end 2", "ETIMEDOUT"),
                    ("permits 2", "2"),
                    ("end 0", "0"),
                    ("end 1", "0"),
                    ("sem-post", "0"),
                    ("end 3", "0"),
                    ("in 2 sem-wait 20", "ETIMEDOUT"),
                    ("in 2 permit-wait 20", "ETIMEDOUT"),
                ],
            );
        }
        finish(&mut session);
    });
}

#[test]
fn once_is_once() {
    in_both_tiers(|start| {
        // The first one is in the initialiser, which waits; the others wait for it.
        let mut session = start();
        for worker in [0, 1, 2] {
            session.ask(&format!("begin {worker} once"));
        }
        let open = [
            ("once-open", "0"),
            ("end 0", "1"),
            ("end 1", "1"),
            ("end 2", "1"),
        ];
        for ending in ENDINGS {
            session.branch(ending, |session| {
                expect(session, open);
                expect(session, [("once-runs", "1")]);
            });
            expect(&mut session, [("once-runs", "0")]);
        }
        expect(&mut session, open);
        expect(&mut session, [("in 3 once", "1"), ("once-runs", "1")]);
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

#[test]
fn cpp_threads() {
    let Some(compiler) = outside::find("g++") else {
        return;
    };
    let place = Place::new();
    let file = binaries::source("threads.cpp");
    let options = ["-std=c++20", "-O1", "-pthread"];
    let program = binaries::compile(compiler, &file, &options, &place.work());
    let mut session = Launch::program(program).place(&place).piped();
    session.next_line("ready", |line| line == "ready");
    for (round, ending) in [
        Ending::Dies("terminate", Signal::SIGABRT),
        Ending::Interrupt,
        Ending::Kill,
        Ending::Command,
        Ending::Dies("terminate", Signal::SIGABRT),
    ]
    .into_iter()
    .enumerate()
    {
        session.ask(&format!("set key before-{round}"));
        // A thread waits for what it is to throw, which differs in the branches.
        session.ask("begin");
        session.branch(ending, |session| {
            session.ask("set key after");
            expect(
                session,
                [
                    ("get key", "after"),
                    ("open branch", "caught branch"),
                    ("workers", ""),
                ],
            );
        });
        assert_eq!(session.ask("get key"), format!("before-{round}"));
        expect(
            &mut session,
            [
                ("open revived", "caught revived"),
                ("throw deep", "caught deep"),
                ("workers", ""),
                ("destroyed", "0"),
            ],
        );
    }
    // Each worker's thread-local object is destroyed once.
    assert_eq!(session.end_by_itself(6), "4 key=before-4");
}

/// Whether a snapshot says that it won't roll back something of this kind.
fn is_named(taken: &Event, kind: &str) -> bool {
    let named = taken.list("not_rolled_back");
    named.iter().any(|item| item.text("kind") == kind)
}

#[test]
fn mutexes_whose_owner_the_kernel_knows_are_as_good_with_the_same_ids() {
    let mut session = start("auto");
    for ending in ENDINGS {
        // One thread holds each; another waits for it over the split.
        expect(
            &mut session,
            [
                ("in 0 lock pi0", "0"),
                ("spawn 0 owner 7", "0"),
                ("in 1 timedlock robust0 1", "ETIMEDOUT"),
            ],
        );
        session.ask("begin 1 lock pi0");
        session.ask("begin 2 lock robust0");
        session.branch(ending, |session| {
            expect(
                session,
                [
                    ("in 0 unlock pi0", "0"),
                    ("end 1", "0"),
                    ("release 0", "0"),
                    ("end 2", "EOWNERDEAD"),
                ],
            );
        });
        expect(
            &mut session,
            [
                ("in 3 timedlock pi0 20", "ETIMEDOUT"),
                ("in 0 unlock pi0", "0"),
                ("end 1", "0"),
                ("in 3 trylock pi0", "EBUSY"),
                ("in 1 unlock pi0", "0"),
                ("release 0", "0"),
                ("end 2", "EOWNERDEAD"),
                ("in 2 consistent robust0", "0"),
                ("in 2 unlock robust0", "0"),
                ("join 0", "7"),
            ],
        );
        for mutex in ["pi0", "robust0"] {
            for worker in WORKERS {
                session.ask(&format!("begin {worker} count {mutex} 500"));
            }
            for worker in WORKERS {
                assert_eq!(session.ask(&format!("end {worker}")), "500");
            }
        }
    }
    let taken = session.take();
    assert!(!is_named(&taken, "robust-mutex"), "{taken}");
    assert!(!is_named(&taken, "pi-mutex"), "{taken}");
}

#[test]
fn with_new_ids_mutexes_whose_owner_the_kernel_knows_are_named() {
    let mut session = start("never");
    let taken = session.take();
    assert!(!is_named(&taken, "robust-mutex"), "none is held: {taken}");
    // Which of those with priority inheritance are held can't be seen.
    assert!(is_named(&taken, "pi-mutex"), "{taken}");
    expect(
        &mut session,
        [("in 0 lock robust0", "0"), ("in 2 lock robust1", "0")],
    );
    let taken = session.take();
    assert!(is_named(&taken, "robust-mutex"), "{taken}");
    let said = taken.to_string();
    assert!(said.contains("held by 2 threads"), "{said}");
    expect(
        &mut session,
        [("in 0 unlock robust0", "0"), ("in 2 unlock robust1", "0")],
    );
    let taken = session.take();
    assert!(!is_named(&taken, "robust-mutex"), "{taken}");
    finish(&mut session);
}
