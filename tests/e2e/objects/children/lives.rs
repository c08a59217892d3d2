//! Which children a revived program has: those of its snapshot, across further snapshots and an
//! exec, and none that the dead branch started.

use snapshot_tests::process::{self, Process};
use snapshot_tests::{Event, Faults, Launch, Signal};

use super::guest::{guest, pids, start};

#[test]
fn each_life_has_its_children_again() {
    let mut session = guest();
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
    let mut session = guest();
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
    let mut session = guest();
    session.ask("start below");
    session.take();
    session.revert();
    assert_eq!(session.ask("wait any 0 nohang"), "none");
    session.ask("end 0 9");
    // The child has waited for its own, which nobody has adopted.
    assert_eq!(session.ask("wait any"), "0 exit 9");
    assert_eq!(session.ask("wait any"), "ECHILD");
}

/// The branch has waited for the stop, and that has not happened.
#[test]
fn a_stop_is_told_again_where_the_snapshot_had_yet_to_wait_for_it() {
    const STOPPED: &str = "0 status 137f";
    let mut session = guest();
    let child = start(&mut session);
    process::send(child, Signal::SIGSTOP);
    let has_stopped = || Process::look(child).is_some_and(|child| child.state == 'T');
    session.wait_until("it has stopped", has_stopped);
    session.take();
    assert_eq!(session.ask("wait waitpid 0 stopped"), STOPPED);
    assert_eq!(session.ask("wait waitpid 0 stopped"), "none");
    session.take();
    session.revert();
    assert_eq!(session.ask("wait waitpid 0 stopped"), "none");
    session.revert();
    assert_eq!(session.ask("wait waitpid 0 stopped"), STOPPED);
    assert_eq!(session.ask("wait waitpid 0 stopped"), "none");
    process::send(child, Signal::SIGCONT);
    session.ask("end 0 3");
    assert_eq!(session.ask("wait any"), "0 exit 3");
}

#[test]
fn adopted_children_stay_across_an_exec() {
    let mut session = guest();
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
    let mut bare = Launch::bare_guest_in_c("children").piped();
    let mut session = guest();
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
    let mut session = guest();
    session.ask("start");
    let taken = session.take();
    let found = taken.list("not_rolled_back");
    let child = found.iter().find(|item| item.text("kind") == "child");
    let child = child.expect("it is named");
    assert!(child.text("what").starts_with("guest ("), "{child}");
    assert!(child.text("why").contains("can still wait for it"));
}

/// The supervisor looks for the children while the copy is made. Those of a program that is dead
/// by then have another parent, so there is no snapshot that would lack them.
#[test]
fn no_snapshot_lacks_children_since_its_program_was_killed() {
    let faults = Faults::default();
    let mut session = Launch::guest_in_c("children").faults(&faults).piped();
    session.ask("start");
    session.take();
    let (live, own) = (session.live_pid(), session.own_pid());
    let supervisor = session.supervisor_pid();
    faults.hold_up_at(format!("/proc/{own}/task/{own}/children"));
    session.signal_live(Signal::SIGUSR1);
    session.wait_until("it is looked at", || faults.holds());
    session.wait_until("its copy is there", || {
        let is_copy = |one: &Process| one.parent == supervisor && one.name.starts_with("#2 ");
        Process::all().iter().any(is_copy)
    });
    process::send(live, Signal::SIGKILL);
    session.wait_until("it has ended", || !process::is_alive(live));
    faults.let_open();
    let answer = session.next_answer();
    assert_eq!(answer.name(), "refused", "{answer}");
    let why = "the program died before the snapshot was complete";
    assert_eq!(answer.text("why"), why);
    assert_eq!(session.next("reverted").number("id"), 1);
    session.ask("end 0 5");
    assert_eq!(session.ask("wait any"), "0 exit 5");
}
