//! What a take and a revert cost, beside a raw `fork()`, `kill` and `waitpid` of the same
//! process in the same run: `cargo bench -p snapshot-core`.
//!
//! The bench runs itself as a program in a session, with so many megabytes of touched
//! memory, and measures from inside: what it was about to do is rolled back with
//! everything else, so the figures go to memory that is shared.
#![expect(unsafe_code, reason = "measures raw system calls")]

use std::env;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use snapshot_core::sys::now_ns;
use snapshot_core::{Arrival, revert, snapshot};
use snapshot_launch::flags::SnapshotFlags;
use snapshot_launch::{Launch, launch};

const ROUNDS: usize = 21;
const SIZES_MB: [usize; 3] = [10, 100, 1024];
/// Set in the process that is to launch, and in the one that is to be measured.
const LAUNCH: &str = "BENCH_LAUNCH";
const MEASURE: &str = "BENCH_MEASURE";

fn main() {
    if let Ok(size) = env::var(MEASURE) {
        measure(size.parse().expect("a number, set below"));
    } else if env::var_os(LAUNCH).is_some() {
        launch_self();
    } else {
        print_table();
    }
}

fn own_path() -> std::path::PathBuf {
    env::current_exe().expect("/proc is mounted")
}

fn print_table() {
    println!("medians of {ROUNDS} rounds in microseconds, with the quarter below and above\n");
    println!(
        "{:>10} {:>7}  {:>20} {:>20} {:>10} {:>11}  {:>20} {:>20} {:>8}",
        "orient.",
        "memory",
        "fork()",
        "take",
        "take/fork",
        "take-fork",
        "kill + wait",
        "revert",
        "revert/k"
    );
    for (orientation, with_launcher) in [("launcher", true), ("alone", false)] {
        for size in SIZES_MB {
            let mut command = Command::new(own_path());
            command.stderr(Stdio::inherit()).stdin(Stdio::null());
            if with_launcher {
                command.env(LAUNCH, size.to_string());
            } else {
                command.env(MEASURE, size.to_string());
            }
            let output = command.output().expect("the bench can run itself");
            let text = String::from_utf8_lossy(&output.stdout);
            let rows: Vec<[u64; 4]> = text
                .lines()
                .filter_map(|line| {
                    let numbers: Vec<u64> = line
                        .split(' ')
                        .map(str::parse)
                        .collect::<Result<_, _>>()
                        .ok()?;
                    numbers.try_into().ok()
                })
                .collect();
            assert_eq!(rows.len(), ROUNDS, "the measured program failed: {text}");
            let column = |index: usize| {
                let mut values: Vec<u64> = rows.iter().map(|row| row[index]).collect();
                values.sort_unstable();
                let at = |part: usize| micros(values[values.len() * part / 4]);
                (at(1), at(2), at(3))
            };
            let (fork, take, kill, back) = (column(0), column(1), column(2), column(3));
            let show =
                |(low, middle, high): (f64, f64, f64)| format!("{middle:.0} ({low:.0}..{high:.0})");
            println!(
                "{orientation:>10} {size:>4} MB  {:>20} {:>20} {:>10.2} {:>8.0} us  {:>20} {:>20} {:>8.2}",
                show(fork),
                show(take),
                take.1 / fork.1,
                take.1 - fork.1,
                show(kill),
                show(back),
                back.1 / kill.1,
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn micros(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_nanos() as f64 / 1000.0
}

fn launch_self() {
    let size = env::var_os(LAUNCH).unwrap_or_default();
    let ending = launch(Launch {
        program: own_path().into(),
        args: Vec::new(),
        env: vec![(MEASURE.into(), size)],
        directory: None,
        flags: SnapshotFlags::from_environment(),
    });
    match ending {
        Ok(ending) => ending.leave(),
        Err(problem) => panic!("{problem}"),
    }
}

/// Figures that no revert takes back: fork, take, kill and wait, revert, and two moments.
#[derive(Default)]
struct Figures([AtomicU64; 6]);

impl Figures {
    fn shared() -> &'static Self {
        // SAFETY: a new anonymous mapping touches no memory in use.
        let shared = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Self>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(shared, libc::MAP_FAILED, "there is memory");
        // SAFETY: mapped just now, zeroed, which is a valid value, and never unmapped.
        unsafe { &*shared.cast() }
    }

    fn set(&self, index: usize, value: u64) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    fn get(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}

fn measure(megabytes: usize) {
    let mut memory = vec![0_u8; megabytes << 20];
    for (page, byte) in memory.iter_mut().step_by(4096).enumerate() {
        *byte = page.to_le_bytes()[0];
    }
    let figures = Figures::shared();
    for _ in 0..ROUNDS {
        // Both in turn, so that a noisy moment of the machine meets both.
        let (fork, kill) = raw_fork();
        figures.set(0, fork);
        figures.set(2, kill);
        figures.set(4, now_ns());
        match snapshot().expect("a program with one thread can be taken") {
            Arrival::Live(_) => {
                figures.set(1, now_ns() - figures.get(4));
                memory[0] = 2;
                figures.set(5, now_ns());
                let error = revert();
                panic!("{error:?}");
            }
            Arrival::Reverted(_) => {
                assert_ne!(memory[0], 2, "the write was rolled back");
                figures.set(3, now_ns() - figures.get(5));
            }
        }
        println!(
            "{} {} {} {}",
            figures.get(0),
            figures.get(1),
            figures.get(2),
            figures.get(3)
        );
    }
    drop(memory);
}

/// The yardstick: how long `fork` takes in the caller, and how long to be rid of the
/// child again.
fn raw_fork() -> (u64, u64) {
    let start = now_ns();
    // SAFETY: the child does nothing but wait for its end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    }
    let forked = now_ns();
    assert!(child > 0, "there is room for a process");
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: as above; the status is not wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    (forked - start, now_ns() - forked)
}
