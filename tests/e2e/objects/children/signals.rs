//! Other notices of a child's end than a wait: SIGCHLD, signalfd, pidfd.

use std::time::Duration;

use snapshot_tests::{Seed, Signal, process};

use super::guest::{guest, start};

fn first_number(answer: &str) -> i64 {
    let word = answer.split(' ').next().unwrap_or_default();
    word.parse().expect("a number")
}

#[test]
fn the_signal_of_an_adopted_child_comes_once() {
    let mut session = guest();
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
    let mut session = guest();
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
    let mut session = guest();
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
    let mut session = guest();
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
    let mut session = guest();
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
