//! Waits under way at the snapshot or at the next take: they go on, and end as in the kernel.

use super::guest::{FOR_ANY, FOR_ONE, guest, start_for};

/// A thread that was inside of the kernel at the snapshot comes back into a process that
/// the kernel knows no children of.
#[test]
fn a_wait_that_was_under_way_goes_on() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = guest();
        start_for(&mut session, kind);
        session.ask(&format!("block {kind} 0"));
        session.take();
        for _ in 0..2 {
            session.command("revert", &["--keep"]);
            session.next("reverted");
        }
        assert_eq!(session.ask("state 0"), "still", "{kind}");
        session.ask("end 0 7");
        assert_eq!(session.ask("blocked 0"), "0 exit 7", "{kind}");
    }
}

#[test]
fn a_wait_that_was_under_way_is_answered_by_the_dead_branch() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = guest();
        start_for(&mut session, kind);
        session.ask(&format!("block {kind} 0"));
        session.take();
        session.ask("end 0 7");
        assert_eq!(session.ask("blocked 0"), "0 exit 7", "{kind}");
        let reverted = session.revert();
        assert_eq!(session.ask("blocked 0"), "0 exit 7", "{kind}");
        let ended = &reverted.0["children_ended"][0];
        assert_eq!(ended["code"], 7, "{reverted}");
        session.wait_until_stderr(
            "1 process that the program had started before #1 has ended since: guest (",
        );
        session.wait_until_stderr(") with status 7");
    }
}

#[test]
fn a_wait_for_an_adopted_child_lives_through_takes_and_reverts() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = guest();
        start_for(&mut session, kind);
        session.take();
        session.revert();
        session.ask(&format!("block {kind} 0"));
        for _ in 0..3 {
            session.take();
        }
        session.revert();
        assert_eq!(session.ask("state 0"), "still", "{kind}");
        session.ask("end 0 5");
        assert_eq!(session.ask("blocked 0"), "0 exit 5", "{kind}");
        session.revert();
        assert_eq!(session.ask("blocked 0"), "0 exit 5", "{kind}");
    }
}

/// A thread waits for any child, and only an adopted one is there. Another thread starts one
/// meanwhile.
#[test]
fn a_wait_for_any_finds_one_that_is_started_meanwhile() {
    let mut session = guest();
    session.ask("start");
    session.take();
    session.revert();
    session.ask("block any 0");
    session.ask("start");
    session.ask("end 1 4");
    assert_eq!(session.ask("blocked 0"), "1 exit 4");
}

#[test]
fn two_threads_that_wait_for_one_get_it_once() {
    let mut session = guest();
    session.ask("start");
    session.take();
    session.revert();
    session.ask("block waitpid 0");
    session.ask("block any 0");
    session.ask("block waitid 0");
    session.ask("end 0 4");
    let mut told: Vec<String> = (0..3)
        .map(|thread| session.ask(&format!("blocked {thread}")))
        .collect();
    told.sort();
    assert_eq!(told, ["0 exit 4", "ECHILD", "ECHILD"]);
}

#[test]
fn a_wait_is_interrupted_as_in_the_kernel() {
    for (handler, told) in [
        ("handle other interrupting", "EINTR"),
        ("handle other", "0 exit 6"),
    ] {
        for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
            let mut session = guest();
            session.ask(handler);
            session.ask(if kind == "own" {
                "start"
            } else {
                "start group"
            });
            session.take();
            session.revert();
            session.ask(&format!("block {kind} 0"));
            // One that comes as it is about to wait interrupts nothing, as in the kernel.
            let most = if told == "EINTR" { 200 } else { 5 };
            for _ in 0..most {
                session.ask("interrupt 0");
                if session.ask("state 0") != "still" {
                    break;
                }
            }
            if told != "EINTR" {
                session.ask("end 0 6");
            }
            assert_eq!(session.ask("blocked 0"), told, "{kind}, {handler}");
        }
    }
}

/// The child's own signal interrupts no wait for it: the kernel looks at the child first.
#[test]
fn the_end_that_is_waited_for_is_no_interruption() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = guest();
        session.ask("handle child interrupting");
        start_for(&mut session, kind);
        session.ask(&format!("block {kind} 0"));
        session.take();
        session.ask("end 0 6");
        assert_eq!(session.ask("blocked 0"), "0 exit 6");
        session.revert();
        assert_eq!(session.ask("blocked 0"), "0 exit 6", "{kind}");
        start_for(&mut session, kind);
        session.take();
        session.revert();
        session.ask(&format!("block {kind} 1"));
        session.ask("end 1 7");
        assert_eq!(session.ask("blocked 1"), "1 exit 7", "{kind}");
    }
}

#[test]
fn a_thread_can_be_cancelled_while_it_waits() {
    for kind in ["waitpid", "wait4", "waitid", "any"] {
        let mut session = guest();
        session.ask(&format!("start{}", " group"));
        session.ask(&format!("block {kind} 0"));
        session.ask(&format!("block {kind} 0"));
        session.ask(&format!("block {kind} 0"));
        // By the kernel's own wait, before there is a table and with it.
        assert_eq!(session.ask("cancel 0"), "cancelled", "{kind}");
        session.take();
        assert_eq!(session.ask("cancel 1"), "cancelled", "{kind}");
        session.take();
        session.revert();
        assert_eq!(session.ask("cancel 2"), "cancelled", "{kind}");
        // And one that began it in the life that has adopted the child.
        session.ask(&format!("block {kind} 0"));
        assert_eq!(session.ask("cancel 3"), "cancelled", "{kind}");
        session.ask("end 0 7");
        assert_eq!(session.ask("wait waitpid 0"), "0 exit 7");
    }
}
