//! Threads that wait for each other, and wait on after a revert: barriers, read-write locks,
//! condition variables, semaphores, `pthread_once`.

use super::guest::{ENDINGS, expect, finish, in_both_tiers};

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
