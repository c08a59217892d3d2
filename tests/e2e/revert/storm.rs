//! Many threads, and takes, reverts, kills, interrupts and commits at random moments, while the
//! guest `storm` checks itself. After each revert every thread must go on from the snapshot.

use std::time::{Duration, Instant};

use snapshot_tests::{Event, Launch, PipedSession, Seed, Signal, process};

/// The cycles of one session: a launched program has two minutes to live.
const CYCLES: usize = 100;

/// How many sessions of that make a run: a thousand cycles, and ten thousand by hand.
const SESSIONS: usize = 10;
const MANY_SESSIONS: usize = 100;

/// How many snapshots lie on each other at most.
const DEPTH: usize = 5;

/// Longer than what the tool takes for one mash of keys.
const BETWEEN_PRESSES: Duration = Duration::from_millis(250);

/// How long a branch is left alone at most.
const IDLE: Duration = Duration::from_millis(15);

/// What the guest's memory may grow to, however often it was reverted.
const MOST_RSS_KB: u64 = 64 << 10;

/// One line of life.
#[derive(Debug, Clone, Copy)]
struct Alive {
    count: u64,
    pid: i32,
}

impl Alive {
    fn parse(line: &str) -> Option<Self> {
        let (count, pid) = line.strip_prefix("alive ")?.split_once(' ')?;
        Some(Self {
            count: count.parse().ok()?,
            pid: pid.parse().ok()?,
        })
    }
}

/// A snapshot, and what the guest's count was before and after it was taken.
#[derive(Debug)]
struct Level {
    id: i64,
    counts: std::ops::RangeInclusive<u64>,
    /// The last mark that the guest had seen.
    mark: String,
}

struct Storm {
    session: PipedSession,
    live: i32,
    /// It has the same ids after a revert: then its lines don't tell which branch they are
    /// of.
    same_ids: bool,
    levels: Vec<Level>,
    count: u64,
    marks: u64,
    /// The last one that the guest has seen, which it tells with the next.
    last_mark: String,
    pressed: Option<Instant>,
}

impl Storm {
    fn new(same_ids: bool) -> Self {
        let isolate = if same_ids { "auto" } else { "never" };
        let mut session = Launch::guest("storm")
            .flag("--isolate")
            .flag(isolate)
            .piped();
        let live = session.live_pid();
        let mut storm = Self {
            session,
            live,
            same_ids,
            levels: Vec::new(),
            count: 0,
            marks: 0,
            last_mark: "none".to_owned(),
            pressed: None,
        };
        storm.see_alive();
        storm
    }

    /// Waits for a line of life of the process that is live now.
    fn see_alive(&mut self) {
        let live = self.session.own_pid();
        let is_alive = |line: &str| Alive::parse(line).is_some_and(|alive| alive.pid == live);
        let line = self.session.next_line("all threads get on", is_alive);
        self.count = Alive::parse(&line).map_or(0, |alive| alive.count);
    }

    /// The next event of this name; one that the guest's own end has caused fails the test.
    fn expect(&mut self, name: &str) -> Event {
        let event = self.session.next_event(name, |event| {
            let by_itself = event.name() == "ended" && event.text("how") == "exit";
            event.name() == name || by_itself || matches!(event.name(), "refused" | "finished")
        });
        if event.name() != name {
            self.session.fail(&format!("instead of `{name}`: {event}"));
        }
        event
    }

    /// What the guest's count is now, at least.
    fn mark(&mut self) -> u64 {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        self.session.send(&mark);
        let mark = mark + " ";
        let line = self
            .session
            .next_line(&mark, |line| line.starts_with(&mark));
        let (count, former) = line[mark.len()..].split_once(' ').expect("two words");
        assert_eq!(former, self.last_mark, "{line}");
        self.last_mark = mark.trim_end().replace(' ', "-");
        count.parse().expect("the guest answers with a number")
    }

    fn take(&mut self, seed: &mut Seed) {
        match seed.below(8) {
            0 => assert!(self.session.command("take", &[]).success()),
            1..4 => self.session.signal(Signal::SIGUSR1),
            _ => process::send(self.live, Signal::SIGUSR1),
        }
        let taken = self.expect("taken");
        let depth = i64::try_from(self.levels.len()).expect("a few") + 1;
        assert_eq!(taken.number("depth"), depth, "{taken}");
        let threads = taken.number("threads");
        assert!(threads > 20, "{taken}");
        let before = self.count;
        let mark = self.last_mark.clone();
        // The question goes out after the snapshot, so the answer is not from before it.
        let after = self.mark();
        self.levels.push(Level {
            id: taken.number("id"),
            counts: before..=after + 1,
            mark,
        });
    }

    /// Ends the branch in some way, and checks that the guest goes on from the snapshot.
    fn revert(&mut self, seed: &mut Seed) {
        let rested = self
            .pressed
            .is_none_or(|pressed| pressed.elapsed() > BETWEEN_PRESSES);
        let how = match seed.below(4) {
            choice @ (0 | 1) if rested => {
                if choice == 0 {
                    self.session.signal(Signal::SIGINT);
                } else {
                    process::send(self.live, Signal::SIGINT);
                }
                "interrupt"
            }
            2 => {
                assert!(self.session.command("revert", &[]).success());
                "revert"
            }
            _ => {
                process::send(self.live, Signal::SIGKILL);
                "signal"
            }
        };
        let ended = self.expect("ended");
        assert_eq!(ended.text("how"), how, "{ended}");
        if how == "interrupt" {
            // The tool has seen it by now; on a busy machine that is later than it was sent.
            self.pressed = Some(Instant::now());
        }
        let level = self.levels.pop().expect("there is a snapshot");
        let reverted = self.expect("reverted");
        assert_eq!(reverted.number("id"), level.id, "{reverted}");
        self.live = reverted.pid("live_pid");
        assert_eq!(reverted.flag("same_ids"), self.same_ids, "{reverted}");
        self.last_mark.clone_from(&level.mark);
        if self.same_ids {
            // The answer is the revived one's, which has not seen what the branch has; and so
            // is what follows it.
            self.count = self.mark();
            assert!(self.count >= *level.counts.start(), "{level:?}");
            self.see_alive();
            return;
        }
        self.see_alive();
        if !level.counts.contains(&self.count) {
            let count = self.count;
            self.session.fail(&format!("{count} is not from {level:?}"));
        }
    }

    fn commit(&mut self) {
        assert!(self.session.command("commit", &[]).success());
        self.expect("committed");
        self.levels.clear();
        self.see_alive();
    }

    fn resident_kb(&self) -> u64 {
        process::status(self.live, "VmRSS")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .expect("the kernel says how much is resident")
    }

    /// When nobody starts threads any more, there are as many as the guest counts, and no
    /// more memory than its workers need.
    fn calm(&mut self) {
        let expected = self.session.ask("calm");
        let live = self.live;
        self.session.wait_until("no thread is too many", || {
            process::status(live, "Threads").as_ref() == Some(&expected)
        });
        let resident = self.resident_kb();
        assert!(resident < MOST_RSS_KB, "{resident} kB are resident");
        // Calm, they still all get on.
        self.see_alive();
        self.see_alive();
    }
}

/// One session: random snapshots to some depth, and back, until it was reverted often
/// enough.
fn weather(seed: &mut Seed, same_ids: bool) {
    let mut storm = Storm::new(same_ids);
    let mut reverts = 0;
    while reverts < CYCLES {
        let depth = storm.levels.len();
        if depth == 0 || (depth < DEPTH && seed.below(2) == 0) {
            storm.take(seed);
        } else if seed.below(12) == 0 {
            storm.commit();
        } else {
            storm.revert(seed);
            reverts += 1;
        }
        seed.idle(IDLE);
    }
    storm.calm();
}

#[test]
fn every_thread_comes_back_a_thousand_times() {
    let mut seed = Seed::new();
    for number in 0..SESSIONS {
        weather(&mut seed, number % 2 == 0);
    }
}

#[test]
#[ignore = "takes many minutes"]
fn every_thread_comes_back_ten_thousand_times() {
    let mut seed = Seed::new();
    for number in 0..MANY_SESSIONS {
        weather(&mut seed, number % 2 == 0);
    }
}

#[test]
fn the_storm_is_unbroken_without_the_tool() {
    let program = snapshot_tests::binaries::guest("storm");
    let mut session = Launch::bare(program).piped();
    session.next_line("a while later", |line| {
        Alive::parse(line).is_some_and(|alive| alive.count >= 200)
    });
    let expected = session.ask("calm");
    let pid = session.pid();
    session.wait_until("no thread is too many", || {
        process::status(pid, "Threads").as_ref() == Some(&expected)
    });
}
