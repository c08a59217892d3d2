//! Every wait after the revert finds the child once, whether the child lives, has ended, or was
//! reaped by the dead branch.

use super::guest::{FOR_ANY, FOR_ONE, guest, pids, start};

#[test]
fn every_wait_for_one_knows_it() {
    let mut session = guest();
    for (number, kind) in FOR_ONE.into_iter().enumerate() {
        let pid = start(&mut session);
        session.take();
        let reverted = session.revert();
        assert_eq!(pids(&reverted, "children_kept"), [i64::from(pid)]);
        assert_eq!(reverted.0["children_kept"][0]["name"], "guest");
        assert_eq!(session.ask(&format!("wait {kind} {number} nohang")), "none");
        session.ask(&format!("end {number} {}", number + 3));
        let end = format!("{number} exit {}", number + 3);
        assert_eq!(session.ask(&format!("wait {kind} {number}")), end, "{kind}");
        for other in FOR_ONE {
            let again = session.ask(&format!("wait {other} {number}"));
            assert_eq!(again, "ECHILD", "{other} after {kind}");
        }
    }
    let told = "1 process that the program had started before #1 stays its child: guest (";
    session.wait_until_stderr(told);
}

#[test]
fn every_wait_for_any_finds_it() {
    for kind in FOR_ANY {
        let mut session = guest();
        session.ask("start");
        session.take();
        session.revert();
        if kind != "plain" {
            assert_eq!(session.ask(&format!("wait {kind} -1 nohang")), "none");
        }
        session.ask("end 0 209");
        assert_eq!(session.ask(&format!("wait {kind}")), "0 signal 9", "{kind}");
        assert_eq!(session.ask(&format!("wait {kind}")), "ECHILD", "{kind}");
    }
}

#[test]
fn one_that_was_reaped_in_the_dead_branch_is_waited_for_again() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = guest();
        session.ask("handle child");
        start(&mut session);
        session.take();
        session.ask("end 0 209");
        assert_eq!(session.ask("wait waitpid 0"), "0 signal 9");
        assert_eq!(session.ask("heard 1"), "1 of 0 with 9");
        let reverted = session.revert();
        assert_eq!(reverted.0["children_ended"][0]["signal"], 9, "{reverted}");
        // The signal comes again, as from the kernel: CLD_KILLED.
        assert_eq!(session.ask("heard 1"), "1 of 0 with 9");
        assert_eq!(session.ask("heard code"), "2");
        // It is in its own group, not in the program's; that is not to be asked any more.
        let kind = if kind == "own" { "any" } else { kind };
        assert_eq!(
            session.ask(&format!("wait {kind} 0")),
            "0 signal 9",
            "{kind}"
        );
        assert_eq!(session.ask(&format!("wait {kind} 0")), "ECHILD", "{kind}");
    }
}

#[test]
fn one_that_was_reaped_by_waitid_is_waited_for_again() {
    for kind in ["waitid", "pidfd", "all", "wait4"] {
        let mut session = guest();
        start(&mut session);
        session.take();
        session.ask("end 0 3");
        assert_eq!(
            session.ask(&format!("wait {kind} 0 nowait")),
            match kind {
                "wait4" => "error",
                _ => "0 exit 3",
            }
        );
        assert_eq!(session.ask(&format!("wait {kind} 0")), "0 exit 3");
        session.revert();
        for _ in 0..2 {
            assert_eq!(session.ask("wait waitid 0 nowait"), "0 exit 3");
        }
        assert_eq!(session.ask("wait pidfd 0"), "0 exit 3");
        assert_eq!(session.ask("wait any"), "ECHILD");
    }
}

/// Ended before the snapshot, and not waited for.
#[test]
fn a_zombie_is_waited_for_after_the_revert() {
    let mut session = guest();
    session.ask("handle child");
    session.ask("start");
    session.ask("end 0 3");
    assert_eq!(session.ask("heard 1"), "1 of 0 with 3");
    session.take();
    session.revert();
    assert_eq!(session.ask("wait wait4 0"), "0 exit 3");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

#[test]
fn adopted_children_and_new_ones_are_waited_for_together() {
    let mut session = guest();
    for kind in FOR_ANY {
        let first = session.ask("start").parse::<i32>().is_ok();
        assert!(first);
        let base: usize = session.events_named("taken").len() * 3;
        session.take();
        session.revert();
        session.ask("start");
        session.ask("start");
        // A real one first, which the kernel tells of; then the adopted one.
        let thread = session.ask(&format!("block {kind} 0"));
        session.ask(&format!("end {} 4", base + 1));
        let end = format!("{} exit 4", base + 1);
        assert_eq!(session.ask(&format!("blocked {thread}")), end, "{kind}");
        let thread = session.ask(&format!("block {kind} 0"));
        session.ask(&format!("end {base} 5"));
        let end = format!("{base} exit 5");
        assert_eq!(session.ask(&format!("blocked {thread}")), end, "{kind}");
        if kind != "plain" {
            assert_eq!(session.ask(&format!("wait {kind} 0 nohang")), "none");
        }
        session.ask(&format!("end {} 6", base + 2));
        let end = format!("{} exit 6", base + 2);
        assert_eq!(session.ask(&format!("wait {kind} 0")), end, "{kind}");
        assert_eq!(session.ask(&format!("wait {kind} 0")), "ECHILD");
    }
}

#[test]
fn a_status_that_nobody_saw_is_lost_and_named() {
    let mut session = guest();
    let pid = start(&mut session);
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("wait raw 0"), "0 exit 3");
    let reverted = session.revert();
    let ended = &reverted.0["children_ended"][0];
    assert_eq!(ended["pid"], pid);
    assert!(ended["code"].is_null() && ended["signal"].is_null());
    session.wait_until_stderr(&format!(
        "1 process that the program had started before #1 has ended since: guest ({pid}) and its exit status is lost"
    ));
    assert_eq!(session.ask("wait waitpid 0"), "ECHILD");
}

#[test]
fn a_program_that_ignores_its_children_has_none_to_wait_for() {
    let mut session = guest();
    session.ask("ignore child");
    session.ask("start");
    session.ask("start");
    session.take();
    session.revert();
    session.ask("block any 0");
    session.ask("end 0 3");
    assert_eq!(session.ask("wait waitpid 0"), "ECHILD");
    assert_eq!(session.ask("state 0"), "still");
    session.ask("end 1 3");
    assert_eq!(session.ask("blocked 0"), "ECHILD");
}
