//! The program's own children across a revert: those that were there at the snapshot stay
//! its children, however it waits for them; and the report names them.

use std::time::Duration;

use snapshot_tests::{Event, Launch, PipedSession, Seed, Signal, binaries, outside, process};

/// The waits of the guest `kin` for one child, and those for any.
const FOR_ONE: [&str; 6] = ["waitpid", "wait4", "waitid", "pidfd", "group", "pgid"];
const FOR_ANY: [&str; 5] = ["wait", "plain", "any", "all", "own"];

fn kin() -> PipedSession {
    Launch::guest_in_c("kin").piped()
}

/// One that has a process group of its own is found by every wait for one. Its number as
/// it is outside of the session.
fn start(session: &mut PipedSession) -> i32 {
    let pid = session.ask("start group");
    session.outside(pid.parse().expect("a process id"))
}

/// One that this kind of wait finds: `own` is for the program's own group.
fn start_for(session: &mut PipedSession, kind: &str) {
    session.ask(if kind == "own" {
        "start"
    } else {
        "start group"
    });
}

fn first_number(answer: &str) -> i64 {
    let word = answer.split(' ').next().unwrap_or_default();
    word.parse().expect("a number")
}

/// The `pid`s of one list of an event.
fn pids(event: &Event, list: &str) -> Vec<i64> {
    let children = event.list(list);
    children.iter().map(|child| child.number("pid")).collect()
}

#[test]
fn every_wait_for_one_knows_it() {
    let mut session = kin();
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
        let mut session = kin();
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

/// A thread that was inside of the kernel at the snapshot comes back into a process that
/// the kernel knows no children of.
#[test]
fn a_wait_that_was_under_way_goes_on() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = kin();
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
        let mut session = kin();
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
        let mut session = kin();
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

#[test]
fn one_that_was_reaped_in_the_dead_branch_is_waited_for_again() {
    for kind in FOR_ONE.into_iter().chain(FOR_ANY) {
        let mut session = kin();
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
        let mut session = kin();
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
    let mut session = kin();
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
fn the_signal_of_an_adopted_child_comes_once() {
    let mut session = kin();
    session.ask("handle child");
    session.ask("start");
    session.ask("start");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("heard 1"), "1 of 0 with 3");
    session.revert();
    assert_eq!(session.ask("heard 1"), "1 of 0 with 3");
    // That it comes from the kernel nobody else may say.
    session.ask("end 1 4");
    assert_eq!(session.ask("heard 2"), "2 of 1 with 4");
    assert_eq!(session.ask("heard code"), "-1");
    assert_eq!(session.ask("wait any"), "0 exit 3");
    assert_eq!(session.ask("wait any"), "1 exit 4");
    assert_eq!(session.ask("heard 2"), "2 of 1 with 4");
}

/// A thread waits for the signal. What the dead branch has got of it has not happened.
#[test]
fn the_signal_interrupts_who_waits_for_it() {
    let mut session = kin();
    session.ask("handle child");
    session.ask("mask child");
    session.ask("start");
    session.ask("start");
    session.ask("block suspend 0");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("blocked 0"), "EINTR");
    session.command("revert", &["--keep"]);
    session.next("reverted");
    assert_eq!(session.ask("blocked 0"), "EINTR");
    session.revert();
    assert_eq!(session.ask("blocked 0"), "EINTR");
    assert_eq!(session.ask("heard 1"), "1 of 0 with 3");
    // And of one that it has adopted.
    session.ask("block suspend 0");
    session.ask("end 1 4");
    assert_eq!(session.ask("blocked 1"), "EINTR");
    assert_eq!(session.ask("heard 2"), "2 of 1 with 4");
}

/// Branch and child die at about the same moment, in any order: reaped by the dead branch,
/// a zombie of it, or the supervisor's own by then.
#[test]
fn one_that_ends_during_the_revert_is_waited_for() {
    let mut seed = Seed::new();
    let mut session = kin();
    session.ask("handle child");
    for round in 0..40 {
        let child = start(&mut session);
        // Half of them with a thread that is in the middle of waiting for it.
        let is_blocked = seed.below(2) == 0;
        if is_blocked {
            session.ask(&format!("block waitpid {round}"));
        }
        let before: i64 = first_number(&session.ask("heard 0"));
        session.take();
        let live = session.live_pid();
        let mut victims = [child, live];
        if seed.below(2) == 0 {
            victims.reverse();
        }
        for victim in victims {
            process::send(victim, Signal::SIGKILL);
            seed.idle(Duration::from_millis(1));
        }
        let reverted = session.next("reverted");
        let end = format!("{round} signal 9");
        if is_blocked {
            let thread = session.ask("blocks");
            assert_eq!(session.ask(&format!("blocked {thread}")), end);
        } else {
            assert_eq!(session.ask(&format!("wait waitpid {round}")), end);
        }
        let heard = session.ask(&format!("heard {}", before + 1));
        let order = if victims[0] == child {
            "child first"
        } else {
            "branch first"
        };
        let told = format!("round {round}, {order}, blocked: {is_blocked}, {reverted}");
        assert_eq!(first_number(&heard), before + 1, "{told}");
    }
}

#[test]
fn a_signalfd_tells_of_adopted_children() {
    let mut session = kin();
    session.ask("signalfd");
    session.ask("start");
    session.ask("start");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("read signalfd"), "1 of 0");
    session.revert();
    assert_eq!(session.ask("read signalfd"), "1 of 0");
    assert_eq!(session.ask("wait any"), "0 exit 3");
    session.ask("end 1 3");
    assert_eq!(session.ask("read signalfd"), "1 of 1");
    assert_eq!(session.ask("wait any"), "1 exit 3");
}

/// Runtimes watch a pidfd, and take it for granted that a wait that does not block has an
/// answer as soon as that is readable.
#[test]
fn a_pidfd_that_is_ready_means_that_the_wait_is() {
    let mut session = kin();
    let child = start(&mut session);
    session.take();
    session.revert();
    let live = session.live_pid();
    // It has ended, and nobody has reaped it yet.
    let supervisor = session.supervisor_pid();
    process::send(supervisor, Signal::SIGSTOP);
    session.ask("end 0 3");
    session.wait_until("the child has ended", || {
        process::Process::look(child).is_some_and(|process| process.state == 'Z')
    });
    session.send("ready 0");
    session.next_line("its pidfd is ready", |line| line == "polled");
    let futex = libc::SYS_futex.to_string();
    session.wait_until("the wait has begun, or is over", || {
        let call = std::fs::read_to_string(format!("/proc/{live}/syscall")).unwrap_or_default();
        call.starts_with(&futex) || call.starts_with("0 0x0 ")
    });
    process::send(supervisor, Signal::SIGCONT);
    session.next_line("the answer", |line| line == "ok 0 exit 3");
}

#[test]
fn adopted_children_and_new_ones_are_waited_for_together() {
    let mut session = kin();
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

/// A thread waits for any, of which only an adopted one is there; another thread starts
/// one meanwhile.
#[test]
fn a_wait_for_any_finds_one_that_is_started_meanwhile() {
    let mut session = kin();
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
    let mut session = kin();
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
            let mut session = kin();
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
        let mut session = kin();
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
        let mut session = kin();
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

#[test]
fn each_life_has_its_children_again() {
    let mut session = kin();
    session.ask("start");
    session.take();
    session.ask("start");
    session.take();
    session.ask("start");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("wait any"), "0 exit 3");
    // To #3, with all three: the first has ended meanwhile.
    let reverted = session.revert();
    assert_eq!(pids(&reverted, "children_kept").len(), 2);
    assert_eq!(pids(&reverted, "children_ended").len(), 1);
    assert_eq!(session.ask("wait any"), "0 exit 3");
    session.ask("end 2 5");
    assert_eq!(session.ask("wait waitpid 2"), "2 exit 5");
    assert_eq!(session.ask("wait any 0 nohang"), "none");
    // A snapshot of a process that has waited for two and has one left.
    assert_eq!(session.take().number("id"), 4);
    session.ask("end 1 4");
    assert_eq!(session.ask("wait wait"), "1 exit 4");
    assert_eq!(session.ask("wait any"), "ECHILD");
    session.revert();
    assert_eq!(session.ask("wait wait4 1"), "1 exit 4");
    assert_eq!(session.ask("wait any"), "ECHILD");
    // To #2: the third was never started.
    session.revert();
    assert_eq!(session.ask("wait waitid 0"), "0 exit 3");
    assert_eq!(session.ask("wait waitpid 1"), "1 exit 4");
    assert_eq!(session.ask("wait any"), "ECHILD");
    // To #1.
    session.revert();
    assert_eq!(session.ask("wait any"), "0 exit 3");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

#[test]
fn those_that_are_started_after_it_end_with_their_branch() {
    let mut session = kin();
    let old = start(&mut session);
    session.take();
    let new = start(&mut session);
    session.revert();
    assert!(process::is_alive(old) && !process::is_alive(new));
    session.wait_until_stderr(&format!(
        "ended 1 process that the program had started: guest ({new})"
    ));
    // Started in the next life, and in the snapshot of that.
    let next = start(&mut session);
    session.take();
    session.revert();
    assert!(process::is_alive(old) && process::is_alive(next));
    session.ask("end 1 6");
    assert_eq!(session.ask("wait any"), "1 exit 6");
    session.ask("end 0 7");
    assert_eq!(session.ask("wait any"), "0 exit 7");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

#[test]
fn a_childs_own_children_are_its_own() {
    let mut session = kin();
    session.ask("start below");
    session.take();
    session.revert();
    assert_eq!(session.ask("wait any 0 nohang"), "none");
    session.ask("end 0 9");
    // The child has waited for its own, which nobody has adopted.
    assert_eq!(session.ask("wait any"), "0 exit 9");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

#[test]
fn a_status_that_nobody_saw_is_lost_and_named() {
    let mut session = kin();
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
    let mut session = kin();
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

#[test]
fn adopted_children_stay_across_an_exec() {
    let mut session = kin();
    session.ask("start");
    session.ask("start");
    session.take();
    session.revert();
    assert_eq!(session.ask("exec"), "again");
    session.ask("end 0 3");
    assert_eq!(session.ask("wait any"), "0 exit 3");
    session.take();
    session.ask("end 1 4");
    assert_eq!(session.ask("wait waitpid 1"), "1 exit 4");
    session.revert();
    assert_eq!(session.ask("wait waitpid 1"), "1 exit 4");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

#[test]
fn the_agent_holds_no_descriptor_for_it() {
    let mut bare = Launch::bare_guest_in_c("kin").piped();
    let mut session = kin();
    let before = session.ask("descriptors");
    assert_eq!(before, bare.ask("descriptors"));
    let taken = session.take();
    assert_eq!(session.ask("descriptors"), before);
    // Nor is its memory taken for the program's.
    let named = taken.list("not_rolled_back");
    let is_outside =
        |item: &Event| item.text("kind") == "pipe" && item.text("why").contains("outside");
    assert!(named.iter().all(is_outside), "{taken}");
    session.revert();
    assert_eq!(session.ask("descriptors"), before);
    bare.close_stdin();
    bare.wait_gone();
}

#[test]
fn a_take_says_what_is_not_served() {
    let mut session = kin();
    session.ask("start");
    let taken = session.take();
    let found = taken.list("not_rolled_back");
    let child = found.iter().find(|item| item.text("kind") == "child");
    let child = child.expect("it is named");
    assert!(child.text("what").starts_with("guest ("), "{child}");
    assert!(child.text("why").contains("can still wait for it"));
}

/// Two languages' own ways to have children.
fn waits_by_itself(mut session: PipedSession, alive: &str) {
    session.ask("start");
    session.ask("start");
    session.take();
    session.ask("end 1 4");
    assert_eq!(session.ask("wait 1"), "4");
    session.revert();
    assert_eq!(session.ask("wait 1"), "4");
    assert_eq!(session.ask("poll 0"), alive);
    session.ask("start");
    session.take();
    session.ask("end 0 3");
    assert_eq!(session.ask("wait 0"), "3");
    session.ask("end 2 5");
    assert_eq!(session.ask("wait 2"), "5");
    session.revert();
    assert_eq!(session.ask("wait 0"), "3");
    assert_eq!(session.ask("wait 2"), "5");
}

#[test]
fn children_of_rusts_standard_library() {
    waits_by_itself(Launch::guest("workers").piped(), "running");
}

#[test]
fn children_of_pythons_subprocess() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let program = Launch::program(python).arg(binaries::source("workers.py"));
    waits_by_itself(program.piped(), "None");
}

#[test]
fn children_of_pythons_asyncio() {
    let Some(python) = outside::find("python3") else {
        return;
    };
    let program = Launch::program(python).arg(binaries::source("workers.py"));
    let mut session = program.piped();
    session.ask("asyncio");
    session.take();
    // What it has done to its event loop would stay done: it is of the kernel.
    for _ in 0..2 {
        session.command("revert", &["--keep"]);
        session.next("reverted");
    }
    session.send("");
    session.next_line("both have ended", |line| line == "ok 3 4");
}

#[test]
fn jobs_of_bash() {
    let Some(bash) = outside::find("bash") else {
        return;
    };
    let mut session = Launch::program(bash).arg("--norc").piped();
    let pipe = session.place().work().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("the place is ours");
    let pipe = pipe.display();
    session.send(&format!("(read status <{pipe}; exit $status) & job=$!"));
    session.send("(exit 5) & wait $!; echo \"waited $?\"");
    session.next_line("ready", |line| line == "waited 5");
    session.take();
    session.send(&format!("echo 3 >{pipe}; wait $job; echo \"waited $?\""));
    session.next_line("the dead branch", |line| line == "waited 3");
    session.revert();
    session.send("wait $job; echo \"again $?\"");
    session.next_line("the next one", |line| line == "again 3");
    // One that ends in the life that has adopted it, in the middle of bash's own wait.
    session.send(&format!(
        "(read status <{pipe}; exit $status) & job=$!; echo started"
    ));
    session.next_line("another", |line| line == "started");
    session.take();
    session.revert();
    session.send(&format!(
        "(sleep 0.05; echo 4 >{pipe}) & wait $job; echo \"last $?\""
    ));
    session.next_line("the last", |line| line == "last 4");
    session.signal_live(Signal::SIGKILL);
}
