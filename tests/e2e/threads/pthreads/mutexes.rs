//! Mutexes keep their owners and exclude other threads. If ids change at a revert, the take names
//! the mutexes with an owner that the kernel knows.

use snapshot_tests::Event;

use super::guest::{ENDINGS, WORKERS, expect, finish, in_both_tiers, start};

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
        // Nobody waits for a mutex that inherits priorities: with a waiter it would name its
        // owner to the kernel, by the number that is new after a revert.
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
