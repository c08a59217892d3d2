//! The kernel runs out of processes, descriptors or memory in the middle of a take or a revert.
//! Each call of each process of the session fails once. The program goes on as if nobody had
//! asked, or with its snapshot. The message says what was missing. The next attempt succeeds.

use snapshot_tests::deadline;
use snapshot_tests::{Event, Fault, Faults, Launch, PipedSession, Signal};

/// When to forget the snapshots, which cost a descriptor each.
const MANY: usize = 20;

/// After so many children, which cost descriptors too, and those calls, another program is used.
const MANY_CHILDREN: u64 = 16;

/// How many calls a take and a revert make at most.
const MOST: u64 = 2000;

/// A program in a session, and what its kernel says no to.
struct Place {
    session: PipedSession,
    faults: Faults,
    depth: usize,
    /// What will not come back of the program.
    usual: Option<Vec<Event>>,
}

/// What came of an attempt in which a call failed.
#[derive(Debug)]
enum Came {
    Done,
    Refused(String),
}

impl Place {
    fn new() -> Self {
        let faults = Faults::default();
        let mut session = Launch::commander().faults(&faults).piped();
        session.ask("set key before");
        Self {
            session,
            faults,
            depth: 0,
            usual: None,
        }
    }

    /// A take, with the faults that have been armed. What it says will not come back is what
    /// it says without them.
    fn take(&mut self) -> (Vec<Fault>, Came) {
        self.session.signal(Signal::SIGUSR1);
        let answer = self.session.next_answer();
        let came = match answer.name() {
            "taken" => {
                let not_rolled_back = answer.list("not_rolled_back");
                let usual = self.usual.get_or_insert_with(|| not_rolled_back.clone());
                assert_eq!(not_rolled_back, *usual, "{:?}", self.faults.disarm());
                Came::Done
            }
            _ => Came::Refused(answer.text("why").to_owned()),
        };
        assert_eq!(self.session.ask("get key"), "before");
        let faults = self.faults.disarm();
        self.depth += usize::from(matches!(came, Came::Done));
        if self.depth == MANY {
            self.session.commit();
            self.depth = 0;
        }
        (faults, came)
    }

    /// A revert. One that is refused leaves the branch as it is.
    fn revert(&mut self, arm: impl Fn(&Faults)) -> (Vec<Fault>, Came) {
        self.session.take();
        self.session.ask("set key after");
        arm(&self.faults);
        let output = self.session.command("revert", &[]);
        let faults = self.faults.disarm();
        if output.success() {
            self.session.next("reverted");
            assert_eq!(self.session.ask("get key"), "before");
            return (faults, Came::Done);
        }
        assert_eq!(self.session.ask("get key"), "after");
        self.session.revert();
        (faults, Came::Refused(output.stderr))
    }
}

/// Whether it says what was missing. An agent whose first call has failed can tell nobody;
/// then the supervisor says what that can be.
fn is_told(faults: &[Fault], why: &str) -> bool {
    faults.iter().any(|fault| why.contains(&fault.words()))
        || why.contains("no descriptor left for it")
}

/// Goes through all calls that an attempt makes, and lists those whose message did not say
/// what was missing.
fn every_call(step: usize, mut attempt: impl FnMut(u64) -> (Vec<Fault>, Came)) {
    let mut wrong = String::new();
    for spared in (0..MOST).step_by(step) {
        let (faults, came) = attempt(spared);
        if faults.is_empty() {
            assert!(spared > 0, "no call has failed");
            assert!(wrong.is_empty(), "{wrong}");
            return;
        }
        if let Came::Refused(why) = &came
            && !is_told(&faults, why)
        {
            wrong += &format!("call {spared}: {why}: {faults:?}\n");
        }
    }
    panic!("it makes more than {MOST} calls");
}

/// A launch, and a session's end where it came to be one.
fn launch(spared: u64) -> (Vec<Fault>, Came) {
    let faults = Faults::default();
    faults.arm(spared);
    let mut session = Launch::commander().faults(&faults).piped();
    let stdout = session.stdout_so_far();
    let is_there = deadline::wait(|| {
        let runs = stdout.text().contains("ready");
        (runs || session.exit_status().is_some()).then_some(runs)
    });
    let failed = faults.disarm();
    match is_there {
        Some(true) => {
            session.signal(Signal::SIGUSR1);
            let answer = session.next_answer();
            let came = if answer.name() == "taken" {
                Came::Done
            } else {
                Came::Refused(answer.to_string())
            };
            (failed, came)
        }
        Some(false) => (failed, Came::Refused(session.finish().stderr)),
        None => session.fail(&format!("neither begun nor ended: {failed:?}")),
    }
}

#[test]
fn some_calls_of_a_launch_may_fail() {
    every_call(13, launch);
}

#[test]
#[ignore = "takes a minute"]
fn every_call_of_a_launch_may_fail() {
    every_call(1, launch);
}

#[test]
fn a_take_says_which_call_has_failed() {
    let mut place = Place::new();
    every_call(1, |spared| {
        place.faults.arm(spared);
        place.take()
    });
    place.session.take();
}

#[test]
fn a_take_says_what_there_is_no_more_of() {
    let mut place = Place::new();
    every_call(1, |spared| {
        place.faults.arm_for_good(spared);
        place.take()
    });
    place.session.take();
}

#[test]
fn a_revert_is_done_or_refused_although_a_call_fails() {
    let mut place = Place::new();
    every_call(1, |spared| place.revert(|faults| faults.arm(spared)));
}

/// The children too are looked for in calls that may fail.
#[test]
fn there_is_no_snapshot_without_its_children() {
    let faults = Faults::default();
    let launch = || Launch::guest_in_c("children").faults(&faults).piped();
    let mut session = launch();
    every_call(2, |spared| {
        let number = spared / 2 % MANY_CHILDREN;
        if number == 0 && spared > 0 {
            session = launch();
        }
        session.ask("start");
        faults.arm(spared);
        session.signal(Signal::SIGUSR1);
        let answer = session.next_answer();
        let failed = faults.disarm();
        let came = if answer.name() == "taken" {
            session.revert();
            Came::Done
        } else {
            Came::Refused(answer.text("why").to_owned())
        };
        session.ask(&format!("end {number} 5"));
        let end = session.ask(&format!("wait waitpid {number}"));
        assert_eq!(end, format!("{number} exit 5"), "{came:?}: {failed:?}");
        (failed, came)
    });
}
