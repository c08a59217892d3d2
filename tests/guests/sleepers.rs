//! Guest: threads that go to sleep on a busy machine. The scheduler moves some of them to
//! another processor just as they fall asleep, and then no longer knows when they last ran.
//!
//! It starts such threads until one has been moved so, for some seconds at most. Then it says
//! `asleep MOVED`. It answers a line on stdin with a line `MOVED MILLISECONDS` for each thread,
//! the total time that it has slept, and `ok`.

use std::fs;
use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::unistd::gettid;
use std::os::fd::AsFd;

/// More than there are processors, so that the scheduler has something to balance.
const THREADS: usize = 60;

/// How long to try.
const PATIENCE: Duration = Duration::from_secs(6);

/// The time limit of their sleep.
const LIMIT_MS: u16 = 3000;

#[derive(Default)]
struct Sleeper {
    thread: AtomicI32,
    slept_ms: AtomicU64,
}

impl Sleeper {
    /// Works a little, and sleeps until the limit, or until `wake` cancels the sleep.
    fn live(&self, wake: &EventFd) {
        self.thread.store(gettid().as_raw(), Ordering::Release);
        for _ in 0..4 {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(700) {}
            thread::sleep(Duration::from_micros(50));
        }
        let begin = Instant::now();
        let woken = poll(
            &mut [PollFd::new(wake.as_fd(), PollFlags::POLLIN)],
            PollTimeout::from(LIMIT_MS),
        );
        assert_ne!(woken, Err(Errno::EINTR));
        let slept = u64::try_from(begin.elapsed().as_millis()).expect("not that long");
        self.slept_ms.store(slept, Ordering::Release);
    }

    fn has_slept(&self) -> bool {
        self.slept_ms.load(Ordering::Acquire) != 0
    }

    fn read(&self, file: &str) -> String {
        let thread = self.thread.load(Ordering::Acquire);
        fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).unwrap_or_default()
    }

    fn is_asleep(&self) -> bool {
        self.thread.load(Ordering::Acquire) != 0 && self.read("syscall").starts_with("7 ")
    }

    /// Whether the kernel has lost the time at which the thread last ran.
    fn was_moved(&self) -> bool {
        self.read("sched")
            .lines()
            .find_map(|line| line.strip_prefix("se.exec_start"))
            .is_some_and(|value| value.trim_matches([' ', ':']) == "0.000000")
    }
}

/// Threads that all sleep.
struct Round {
    wake: Arc<EventFd>,
    sleepers: Vec<(Arc<Sleeper>, JoinHandle<()>)>,
}

impl Round {
    fn start() -> Self {
        let wake = Arc::new(EventFd::new().expect("an eventfd"));
        let start = |_| {
            let sleeper = Arc::new(Sleeper::default());
            let (own, wake) = (Arc::clone(&sleeper), Arc::clone(&wake));
            (sleeper, thread::spawn(move || own.live(&wake)))
        };
        let sleepers = (0..THREADS).map(start).collect();
        let round = Self { wake, sleepers };
        while !round.sleepers.iter().all(|(one, _)| one.is_asleep()) {
            // On a busy machine the first are awake again before the last sleep.
            if round.sleepers.iter().any(|(one, _)| one.has_slept()) {
                round.wake();
                return Self::start();
            }
            thread::sleep(Duration::from_millis(5));
        }
        round
    }

    fn moved(&self) -> Vec<bool> {
        let moved = |(one, _): &(Arc<Sleeper>, _)| one.was_moved();
        self.sleepers.iter().map(moved).collect()
    }

    fn end(self) -> Vec<Arc<Sleeper>> {
        let join = |(sleeper, thread): (_, JoinHandle<()>)| {
            thread.join().expect("a sleeper does not panic");
            sleeper
        };
        self.sleepers.into_iter().map(join).collect()
    }

    fn wake(self) {
        self.wake.write(1).expect("an eventfd counts");
        self.end();
    }
}

fn main() {
    let mut round = Round::start();
    let mut moved = round.moved();
    let begin = Instant::now();
    while !moved.contains(&true) && begin.elapsed() < PATIENCE {
        round.wake();
        round = Round::start();
        moved = round.moved();
    }
    let count = moved.iter().filter(|&&moved| moved).count();
    println!("asleep {count}");
    let mut lines = stdin().lock().lines();
    let _ = lines.next();
    for (sleeper, moved) in round.end().iter().zip(moved) {
        let slept = sleeper.slept_ms.load(Ordering::Acquire);
        println!("{} {slept}", if moved { "moved" } else { "stayed" });
    }
    println!("ok");
    let _ = lines.next();
}
