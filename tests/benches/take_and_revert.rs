//! What a take and a revert cost, beside a raw `fork()`, `kill` and `waitpid` of the same
//! process in the same run: `cargo bench -p snapshot-tests --bench take_and_revert`.
//!
//! The bench runs itself as a program in a session, with so many threads and megabytes of
//! touched memory, and measures from inside: what it was about to do is rolled back with
//! everything else, so the figures go to a file that is given from outside.
#![expect(unsafe_code, reason = "measures raw system calls")]

#[path = "measured/figures.rs"]
mod figures;
#[path = "measured/itself.rs"]
mod itself;

use std::sync::Barrier;
use std::time::Duration;

use figures::Figures;
use itself::Part;
use snapshot_core::sys::now_ns;
use snapshot_core::{Arrival, Phases, last_phases, revert, snapshot};

const ROUNDS: usize = 21;
/// Under a launcher or alone, threads, megabytes.
const CASES: [(bool, usize, usize); 10] = [
    (true, 1, 10),
    (true, 1, 100),
    (true, 1, 1024),
    (true, 8, 10),
    (true, 64, 10),
    (true, 512, 10),
    (true, 8, 1024),
    (false, 1, 10),
    (false, 8, 10),
    (false, 64, 10),
];
/// What a take may cost beyond a raw fork: so much, and so much more a thread.
const TARGET: Duration = Duration::from_micros(500);
const TARGET_A_THREAD: Duration = Duration::from_micros(25);

fn main() {
    match itself::part() {
        Part::Measured(case) => {
            let (threads, megabytes) = case.split_once(' ').expect("two numbers, set below");
            measure(
                threads.parse().expect("a number, set below"),
                megabytes.parse().expect("a number, set below"),
            );
        }
        Part::Show => print_table(),
    }
}

/// Fork, take, kill, revert, and the six phases of a take.
const FIGURES: usize = 10;

fn print_table() {
    println!(
        "medians of {ROUNDS} rounds in microseconds, with the quarters below and above.\n\
         `beyond` is take - fork, `target` what it may be at the most. The phases of a take\n\
         are medians: the way to the first thread and the supervisor is not among them, and\n\
         `leave` comes after the take has returned.\n"
    );
    println!(
        "{:>8} {:>4} {:>7} {:>20} {:>20} {:>7} {:>7} {:>20} {:>20}  park + record + split + complete + release, leave",
        "", "thr.", "memory", "fork()", "take", "beyond", "target", "kill + wait", "revert",
    );
    for (with_launcher, threads, megabytes) in CASES {
        let case = format!("{threads} {megabytes}");
        let rows: Vec<[u64; FIGURES]> = itself::rows(&case, with_launcher, ROUNDS);
        let quarters = |index: usize| {
            itself::quarters(rows.iter().map(|row| row[index]).collect()).map(micros)
        };
        let show = |[low, middle, high]: [f64; 3]| format!("{middle:.0} ({low:.0}..{high:.0})");
        let [fork, take, kill, back] = [0, 1, 2, 3].map(quarters);
        let threads_count = u32::try_from(threads).expect("a few");
        let target = TARGET + TARGET_A_THREAD * threads_count;
        let phases: Vec<String> = (4..FIGURES)
            .map(|index| format!("{:.0}", quarters(index)[1]))
            .collect();
        println!(
            "{:>8} {threads:>4} {megabytes:>4} MB {:>20} {:>20} {:>7.0} {:>7} {:>20} {:>20}  {}, {}",
            if with_launcher { "launcher" } else { "alone" },
            show(fork),
            show(take),
            take[1] - fork[1],
            target.as_micros(),
            show(kill),
            show(back),
            phases[..5].join(" + "),
            phases[5],
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn micros(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_nanos() as f64 / 1000.0
}

/// The places of the figures, and of two moments.
const FORK: usize = 0;
const TAKE: usize = 1;
const KILL: usize = 2;
const REVERT: usize = 3;
const PHASES: usize = 4;
const TAKE_BEGUN: usize = FIGURES;
const REVERT_BEGUN: usize = FIGURES + 1;

fn set_phases(figures: &Figures, phases: &Phases) {
    let durations = [
        phases.park,
        phases.record,
        phases.split,
        phases.complete,
        phases.release,
        phases.leave,
    ];
    for (index, duration) in durations.into_iter().enumerate() {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        figures.set(PHASES + index, ns);
    }
}

fn measure(threads: usize, megabytes: usize) {
    let mut memory = vec![0_u8; megabytes << 20];
    for (page, byte) in memory.iter_mut().step_by(4096).enumerate() {
        *byte = page.to_le_bytes()[0];
    }
    // The others wait, as threads of a server do between requests.
    let begun: &'static Barrier = Box::leak(Box::new(Barrier::new(threads)));
    for _ in 1..threads {
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(|| {
                begun.wait();
                loop {
                    std::thread::park();
                }
            })
            .expect("there is room for threads");
    }
    begun.wait();
    let figures = Figures::given();
    for _ in 0..ROUNDS {
        // Both in turn, so that a noisy moment of the machine meets both.
        let (fork, kill) = raw_fork();
        figures.set(FORK, fork);
        figures.set(KILL, kill);
        figures.set(TAKE_BEGUN, now_ns());
        match snapshot().expect("a program like this can be taken") {
            Arrival::Live(_) => {
                figures.set(TAKE, now_ns() - figures.get(TAKE_BEGUN));
                // Until the last thread is out, its phase has no end.
                std::thread::sleep(Duration::from_millis(20));
                set_phases(&figures, &last_phases());
                memory[0] = 2;
                figures.set(REVERT_BEGUN, now_ns());
                let error = revert();
                panic!("{error:?}");
            }
            Arrival::Reverted(_) => {
                assert_ne!(memory[0], 2, "the write was rolled back");
                figures.set(REVERT, now_ns() - figures.get(REVERT_BEGUN));
            }
        }
        let row: Vec<String> = (0..FIGURES)
            .map(|index| figures.get(index).to_string())
            .collect();
        println!("{}", row.join(" "));
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
