//! How many copies of one moment there are in a second, beside what fork(2) alone makes of the same
//! process: `cargo bench -p snapshot-tests --bench copies`. A fork has one thread; only a process that has
//! no more is a fair measure for it.
//!
//! The rounds of the three take turns, each in a process of its own, which has a warm fixture, a series of
//! inputs and forks of the same memory.
#![expect(unsafe_code, reason = "forks")]

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use snapshot_core::{Fixture, try_each};

/// MiB, further threads, and copies in a round.
const CASES: [(usize, usize, u32); 6] = [
    (4, 0, 1000),
    (4, 8, 500),
    (64, 0, 500),
    (64, 8, 300),
    (1024, 0, 200),
    (1024, 8, 200),
];
const ROUNDS: usize = 5;

/// State in pieces of 64 KiB, as a program with a history has it.
fn set_up() -> Vec<Vec<u8>> {
    let number = |name| std::env::var(name).map_or(0, |text| text.parse().expect("a number"));
    let (size, threads): (usize, usize) = (number("COPIES_SIZE"), number("COPIES_THREADS"));
    for _ in 0..threads {
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_secs(1000));
            }
        });
    }
    let pieces = 0..size * 16;
    pieces
        .map(|number| vec![number.to_le_bytes()[0]; 65_536])
        .collect()
}

static STATE: Fixture<Vec<Vec<u8>>> = Fixture::new(set_up);

fn forks(count: u32) {
    for _ in 0..count {
        // SAFETY: the child ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: runs no exit handlers.
            unsafe { libc::_exit(0) };
        }
        assert!(child > 0, "there is room");
        // SAFETY: waits for the child.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
}

fn copies(count: u32) {
    let inputs = vec![(); count as usize];
    let ends = try_each(&inputs, |()| {}).expect("it can be copied");
    assert_eq!(ends.len(), inputs.len());
}

fn tests(count: u32) {
    for _ in 0..count {
        STATE.test(|state| state[0][0] = 1);
    }
}

/// How many a second.
fn rate(count: u32, work: impl FnOnce(u32)) -> f64 {
    let begin = Instant::now();
    work(count);
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn measure(count: u32) {
    tests(1);
    for _ in 0..ROUNDS {
        println!("tests {}", rate(count, tests));
    }
    let state = set_up();
    // Before the memory is in huge pages: those make forks fast as well.
    for _ in 0..ROUNDS {
        println!("forks {}", rate(count.min(100), forks));
    }
    copies(1);
    for _ in 0..ROUNDS {
        println!("inputs {}", rate(count, copies));
    }
    drop(state);
}

fn main() {
    if let Ok(count) = std::env::var("COPIES_COUNT") {
        return measure(count.parse().expect("a number"));
    }
    println!("a second: the median (the least-the most) of {ROUNDS} rounds\n");
    println!(
        "{:>24}{:>22}{:>22}{:>22}",
        "", "fork() and _exit", "tests of a fixture", "inputs of try_each"
    );
    for (size, threads, count) in CASES {
        let program = std::env::current_exe().expect("it runs");
        let output = Command::new(program)
            .env("COPIES_SIZE", size.to_string())
            .env("COPIES_THREADS", threads.to_string())
            .env("COPIES_COUNT", count.to_string())
            .output()
            .expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let rates = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let mut rates: Vec<f64> = lines
                .map(|rate| rate.trim().parse().expect("a number"))
                .collect();
            rates.sort_by(f64::total_cmp);
            let [least, .., most] = rates.as_slice() else {
                panic!("there are no {name} in {text}");
            };
            format!("{:.0} ({least:.0}-{most:.0})", rates[rates.len() / 2])
        };
        println!(
            "{:>24}{:>22}{:>22}{:>22}",
            format!("{size} MiB, 1 + {threads} threads"),
            rates("forks"),
            rates("tests"),
            rates("inputs")
        );
    }
}
