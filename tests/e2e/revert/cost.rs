//! The cost of a take with many objects: ten times as many objects cost about ten times as much,
//! not a hundred times.
#![expect(unsafe_code, reason = "traces a process, to hold it up")]

use std::time::{Duration, Instant};

use snapshot_tests::process::Process;
use snapshot_tests::{Launch, PipedSession, Signal};

fn guest() -> PipedSession {
    Launch::guest_in_c("cost").piped()
}

/// The shortest of some takes, in microseconds: a busy machine makes each of them longer.
fn shortest(session: &mut PipedSession) -> i64 {
    let takes = (0..5).map(|_| session.take().number("latency_us"));
    takes.min().expect("some takes")
}

/// A hundred of them, and then a thousand. The room that is left is for a busy machine;
/// what costs a search each would cost a hundred times as much.
fn costs_what_it_is(what: &str) -> PipedSession {
    const ROOM: i64 = 80;
    let mut session = guest();
    let none = shortest(&mut session);
    session.ask(&format!("{what} 100"));
    let few = shortest(&mut session) - none;
    session.ask(&format!("{what} 900"));
    let many = shortest(&mut session) - none;
    assert!(
        many < ROOM * few.max(2000),
        "{what}: a hundred take {few} us, a thousand {many} us"
    );
    session
}

/// Every registration is there after a revert, and reports what it reported before.
fn all_are_registered(session: &mut PipedSession) {
    let before = session.ask("check");
    session.take();
    session.revert();
    assert_eq!(session.ask("check"), before);
    let (right, all) = before.split_once(" of ").expect("two numbers");
    assert_eq!(right, all);
}

#[test]
fn registrations_under_a_number_that_is_closed() {
    let mut session = costs_what_it_is("stale");
    all_are_registered(&mut session);
}

#[test]
fn registrations_of_all_sorts() {
    let mut session = costs_what_it_is("mixed");
    all_are_registered(&mut session);
}

#[test]
fn registrations_under_their_own_number() {
    let mut session = costs_what_it_is("fresh");
    all_are_registered(&mut session);
}

#[test]
fn locks() {
    costs_what_it_is("locks");
}

#[test]
fn counters() {
    costs_what_it_is("counters");
}

#[test]
fn pairs_of_sockets() {
    costs_what_it_is("sockets");
}

#[test]
fn shared_memory() {
    costs_what_it_is("memory");
}

#[test]
fn watched_files() {
    costs_what_it_is("watches");
}

/// Each child has what all before it have: some 45,000 descriptors in all. It took seconds.
#[test]
fn children_that_have_what_the_program_has() {
    let mut session = guest();
    session.ask("children 210");
    let took = shortest(&mut session);
    assert!(took < 1_000_000, "{took} us");
}

/// How long a process has run, as the scheduler counts it.
fn time_run(pid: i32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next().map(str::to_owned)
}

/// A process that this thread holds up as a debugger does.
struct Held(i32);

impl Held {
    fn seize(pid: i32) -> Self {
        let held = Self(pid);
        held.ask(libc::PTRACE_SEIZE);
        held
    }

    fn stop(&self) {
        self.ask(libc::PTRACE_INTERRUPT);
        // SAFETY: no status is wanted.
        let waited = unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL) };
        assert_eq!(waited, self.0);
    }

    fn let_go_on(&self) {
        self.ask(libc::PTRACE_CONT);
    }

    fn release(self) {
        self.stop();
        self.ask(libc::PTRACE_DETACH);
    }

    fn ask(&self, request: libc::c_uint) {
        // SAFETY: takes numbers.
        let answer = unsafe { libc::ptrace(request, self.0, 0_usize, 0_usize) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    }
}

/// One that is held up again and again, as on a busy machine, takes longer than the patience
/// with one that does nothing. It gets on, and so it is waited for.
#[test]
fn a_copy_that_gets_on_is_waited_for() {
    let mut session = guest();
    session.ask("counters 4000");
    let supervisor = session.supervisor_pid();
    let live = session.live_pid();
    session.signal_live(Signal::SIGUSR1);
    let copy = || {
        Process::all()
            .into_iter()
            .find(|process| process.parent == supervisor && process.name.starts_with("#1 "))
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    let copy = loop {
        if let Some(copy) = copy() {
            break copy.pid;
        }
        assert!(Instant::now() < deadline, "there is no copy of {live}");
    };
    // As long as it records it is let run for a moment in a second. Not by a stop, which the
    // supervisor takes back.
    let begun = Instant::now();
    let held = Held::seize(copy);
    while begun.elapsed() < Duration::from_secs(7) && session.events_named("taken").is_empty() {
        held.stop();
        std::thread::sleep(Duration::from_millis(990));
        let before = time_run(copy);
        held.let_go_on();
        // Until it has had a processor: a busy machine has none for it at once.
        session.wait_until("the copy gets on", || time_run(copy) != before);
    }
    held.release();
    session.next_taken();
    assert!(
        begun.elapsed() > Duration::from_secs(4),
        "it was not held up: {:?}",
        begun.elapsed()
    );
    session.revert();
}
