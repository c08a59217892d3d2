//! No blocking call notices a take or a revert: a call with a time limit returns on time, one
//! without stays until its event, and only the program's own signals interrupt a call.
//! `guests/restarts/table.rs` has the calls.
#![expect(unsafe_code, reason = "nix knows no objects of System V")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use snapshot_tests::{Launch, PipedSession, Seed, Signal, binaries, deadline, process};

/// The time limit of the guest's calls.
const LIMIT: Duration = Duration::from_secs(2);

/// How far a call may miss it on a noisy machine.
const TOLERANCE: Duration = Duration::from_millis(250);

/// How far the calls are when the snapshot is taken.
const AGE: Duration = Duration::from_millis(700);

/// The rows that the guest's table had when this was written: one lost is one untested.
const ROWS: usize = 55;

/// Semaphores and message queues, which the kernel keeps until somebody removes them.
struct SystemV {
    semaphores: i32,
    queues: [i32; 2],
}

impl SystemV {
    fn new() -> Self {
        const FLAGS: i32 = libc::IPC_CREAT | 0o600;
        // SAFETY: takes numbers.
        let semaphores = unsafe { libc::semget(libc::IPC_PRIVATE, 2, FLAGS) };
        assert!(semaphores >= 0, "there are semaphores left");
        let queues = [(); 2].map(|()| {
            // SAFETY: takes numbers.
            let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, FLAGS) };
            assert!(queue >= 0, "there are message queues left");
            queue
        });
        Self { semaphores, queues }
    }

    fn arguments(&self) -> Vec<String> {
        let [empty, full] = self.queues;
        [self.semaphores, empty, full]
            .map(|id| id.to_string())
            .into()
    }
}

impl Drop for SystemV {
    fn drop(&mut self) {
        // SAFETY: takes numbers.
        unsafe { libc::semctl(self.semaphores, 0, libc::IPC_RMID) };
        for queue in self.queues {
            // SAFETY: takes numbers and a null that IPC_RMID ignores.
            unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

/// What the guest says of one of its threads.
#[derive(Debug)]
struct Row {
    name: String,
    endless: bool,
    expected: String,
    got: String,
    after: Duration,
}

impl Row {
    /// Parses `row NAME UNTIL EXPECTED GOT MILLISECONDS`.
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let ["row", name, until, expected, got, milliseconds] = words[..] else {
            panic!("no row: {line:?}");
        };
        Self {
            name: name.into(),
            endless: until == "event",
            expected: expected.into(),
            got: got.into(),
            after: Duration::from_millis(milliseconds.parse().expect("a number")),
        }
    }

    fn is_blocked(&self) -> bool {
        self.got == "blocked"
    }

    /// Whether it came back with what it should.
    fn is_as_expected(&self) -> bool {
        match self.expected.as_str() {
            "+" => self.got.parse::<i64>().is_ok(),
            error => self.got == error,
        }
    }

    /// Whether it came back at its time; a revert may add what its branch has lived.
    fn is_in_time(&self, branches: Duration) -> bool {
        let allowed = LIMIT - TOLERANCE..=LIMIT + branches + TOLERANCE;
        allowed.contains(&self.after)
    }
}

/// The guest with all its threads blocked.
struct Guest {
    // Dropped first: the objects are in use as long as it runs.
    session: PipedSession,
    _system_v: SystemV,
    rows: usize,
    began: Instant,
    /// How long all branches lived that were reverted.
    branches: Duration,
}

impl Guest {
    fn start(launch: Launch) -> Self {
        let system_v = SystemV::new();
        let mut session = launch.args(system_v.arguments()).piped();
        let answer = session.ask("ready");
        let numbers: Vec<u64> = answer
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        let [rows, age] = numbers[..] else {
            session.fail(&format!("a call does not block: {answer}"));
        };
        let rows = usize::try_from(rows).expect("not that many");
        assert_eq!(rows, ROWS);
        Self {
            session,
            _system_v: system_v,
            rows,
            began: Instant::now() - Duration::from_millis(age),
            branches: Duration::ZERO,
        }
    }

    /// Lets time pass until the calls are this old.
    fn wait_for_age(&mut self, age: Duration) {
        deadline::pace(age.saturating_sub(self.began.elapsed()));
    }

    fn take(&mut self) {
        let threads = i64::try_from(self.rows).expect("not that many") + 1;
        let taken = self.session.take();
        assert_eq!(taken.number("threads"), threads, "{taken}");
    }

    /// Takes and reverts at once.
    fn take_and_revert(&mut self) {
        let begin = Instant::now();
        self.take();
        self.session.revert();
        self.branches += begin.elapsed();
    }

    fn report(&mut self) -> Vec<Row> {
        self.session.send("report");
        let mut rows = Vec::new();
        loop {
            let line = self.session.next_line("a row", |line| {
                line.starts_with("row ") || line.starts_with("ok ")
            });
            if line.starts_with("ok ") {
                assert_eq!(rows.len(), self.rows);
                return rows;
            }
            rows.push(Row::parse(&line));
        }
    }

    /// Every call with a time limit has come back at its time, and no other.
    fn assert_settled(&mut self) {
        self.session.ask("settle");
        let rows = self.report();
        let branches = self.branches;
        self.assert_each("after the time limits", &rows, |row| {
            if row.endless {
                row.is_blocked()
            } else {
                row.is_as_expected() && row.is_in_time(branches)
            }
        });
    }

    /// Every other call comes back when its event happens.
    fn assert_released(&mut self) {
        self.session.ask("release");
        let rows = self.report();
        self.assert_each("after the events", &rows, Row::is_as_expected);
    }

    fn assert_each(&mut self, when: &str, rows: &[Row], is_right: impl Fn(&Row) -> bool) {
        if rows.iter().all(&is_right) {
            return;
        }
        let mut table = format!(
            "{when}, with branches of {} ms:\n",
            self.branches.as_millis()
        );
        for row in rows {
            let mark = if is_right(row) { "      " } else { "WRONG " };
            let Row {
                name,
                expected,
                got,
                after,
                ..
            } = row;
            let until = if row.endless { "event" } else { "2 s" };
            let after = after.as_millis();
            let _ = writeln!(
                table,
                "{mark}{name:<26} until {until:<6} expected {expected:<10} got {got:<10} {after:>5} ms"
            );
        }
        self.session.fail(&table);
    }
}

fn live() -> Guest {
    Guest::start(Launch::guest("restarts"))
}

#[test]
fn the_table_is_right_without_the_tool() {
    let mut guest = Guest::start(Launch::bare(binaries::guest("restarts")));
    guest.assert_settled();
    guest.assert_released();
}

#[test]
fn no_call_notices_a_take() {
    let mut guest = live();
    guest.wait_for_age(AGE);
    guest.take();
    guest.assert_settled();
    guest.assert_released();
}

#[test]
fn no_call_notices_five_takes() {
    let mut guest = live();
    for count in 1..=5 {
        guest.wait_for_age(Duration::from_millis(300) * count);
        guest.take();
    }
    guest.assert_settled();
    guest.assert_released();
}

#[test]
fn no_call_notices_a_revert() {
    let mut guest = live();
    guest.wait_for_age(AGE);
    guest.take_and_revert();
    guest.assert_settled();
    guest.assert_released();
}

#[test]
fn no_call_notices_three_reverts() {
    let mut guest = live();
    for count in 1..=3 {
        guest.wait_for_age(Duration::from_millis(400) * count);
        guest.take_and_revert();
    }
    guest.assert_settled();
    guest.assert_released();
}

#[test]
fn a_call_that_had_come_back_before_the_revert_comes_back_again() {
    // The branch sees every time limit pass, and the snapshot none of them.
    let mut guest = live();
    guest.wait_for_age(AGE);
    let begin = Instant::now();
    guest.take();
    guest.assert_settled();
    guest.session.revert();
    guest.branches += begin.elapsed();
    guest.assert_settled();
    guest.assert_released();
}

/// The time limit of the sleepers, and how long they have slept when the snapshot is taken.
const SLEEP: Duration = Duration::from_millis(3000);
const SLEPT: Duration = Duration::from_millis(2000);

#[test]
fn a_thread_that_was_moved_as_it_fell_asleep_is_not_given_its_whole_time_again() {
    // Since 6.12, and with more than one processor, the kernel no longer knows when such a
    // thread last ran. It knows when the thread was last part of a processor's load, some time
    // later. So the thread may sleep longer by that time, but not for its whole time again.
    let mut session = Launch::guest("sleepers").piped();
    let asleep = session.next_line("all sleep", |line| line.starts_with("asleep "));
    let begin = Instant::now();
    deadline::pace(SLEPT);
    session.take();
    session.revert();
    let branch = begin.elapsed() - SLEPT;
    session.send("report");
    let mut slept = Vec::new();
    loop {
        let line = session.next_line("a sleeper", |_| true);
        let Some((kind, milliseconds)) = line.split_once(' ') else {
            break;
        };
        let milliseconds = milliseconds.parse().expect("a number");
        slept.push((kind == "moved", Duration::from_millis(milliseconds)));
    }
    let longest = SLEEP + SLEPT / 2 + branch;
    let is_right = |(_, time): &(bool, Duration)| (SLEEP - TOLERANCE..longest).contains(time);
    assert!(
        slept.iter().all(is_right),
        "{asleep}, {branch:?}: {slept:?}"
    );
}

/// How often a signal comes while a snapshot is taken.
const ROUNDS: usize = 40;

/// How far apart the signal and the trigger are at most: as long as a take.
const APART: Duration = Duration::from_millis(2);

/// What came of the rounds in which the program's own signal was due.
#[derive(Debug, Default)]
struct Due {
    /// Calls that went on although the handler had run; the signal had to be sent again.
    missed: usize,
    /// Calls that were interrupted, and no handler had run.
    unfounded: usize,
}

/// The program's own signal and the trigger at nearly one time, to a thread in such a call,
/// round by round: the call must be interrupted, and the handler run once.
fn due(kind: &str) -> Due {
    let mut guest = live();
    let session = &mut guest.session;
    let mut seed = Seed::new();
    let mut due = Due::default();
    for round in 1..=ROUNDS {
        session.send(&format!("due {kind}"));
        session.next_line("its thread is blocked", |line| line == "blocked");
        let mut signals = [Signal::SIGURG, Signal::SIGUSR1];
        if seed.below(2) == 0 {
            signals.reverse();
        }
        session.signal_live(signals[0]);
        seed.idle(APART);
        session.signal_live(signals[1]);
        let answer = session.next_line("its thread is interrupted", |line| {
            line.starts_with("ok ") || line.starts_with("err ")
        });
        match answer.as_str() {
            "ok EINTR 1 0" => {}
            "ok EINTR 2 1" => due.missed += 1,
            "ok EINTR 0 0" => due.unfounded += 1,
            _ => session.fail(&format!("{kind} ended so: {answer}")),
        }
        session.next_taken();
        // Snapshots that nobody needs.
        if round % 10 == 0 {
            session.commit();
        }
    }
    due
}

#[test]
fn a_due_signal_interrupts_a_call_that_lets_it_through() {
    // The signal is let through by the call alone, so no call can begin too late for it, and
    // a program that counts on that waits forever for one that is missed. An interruption
    // without a cause only makes it look again, but must be rare.
    for kind in ["sigsuspend", "ppoll", "pselect", "epoll_pwait"] {
        let due = due(kind);
        let is_rare = due.unfounded <= ROUNDS / 10;
        assert!(due.missed == 0 && is_rare, "{kind}: {due:?}");
    }
}

#[test]
fn a_due_signal_interrupts_other_calls() {
    // As with any handler, a signal may come just before such a call begins; here, between
    // the last look at what is due and the call's new beginning. That must be rare.
    for kind in ["read", "poll", "pause"] {
        let due = due(kind);
        let is_rare = due.missed + due.unfounded <= ROUNDS / 10;
        assert!(is_rare, "{kind}: {due:?}");
    }
}

#[test]
fn a_due_signal_interrupts_without_the_tool() {
    let mut guest = Guest::start(Launch::bare(binaries::guest("restarts")));
    let pid = guest.session.pid();
    for kind in [
        "sigsuspend",
        "ppoll",
        "pselect",
        "epoll_pwait",
        "read",
        "poll",
        "pause",
    ] {
        guest.session.send(&format!("due {kind}"));
        let is_blocked = |line: &str| line == "blocked";
        guest.session.next_line("its thread is blocked", is_blocked);
        process::send(pid, Signal::SIGURG);
        let answer = |line: &str| line == "ok EINTR 1 0";
        guest.session.next_line("its thread is interrupted", answer);
    }
}
