//! What an attempt costs beside the `fork()` that it can't do without:
//! `cargo bench -p snapshot-tests --bench attempts`. In a session and alone, with an attempt that
//! succeeds, one that returns an error and one that crashes.
//!
//! The bench runs itself as the program. It prints what it measures on stdout, which no revert takes
//! back; and a clock goes on in every branch.
#![expect(unsafe_code, reason = "forks")]

#[path = "measured/itself.rs"]
mod itself;

use std::convert::Infallible;

use itself::Part;
use snapshot_core::attempt;
use snapshot_core::sys::now_ns;

/// How often each is measured.
const ROUNDS: usize = 200;
/// Memory that the program has touched, in MiB.
const SIZES: [usize; 2] = [8, 1024];

fn main() {
    match itself::part() {
        Part::Measured(case) => {
            let size: usize = case.parse().expect("a number of MiB");
            let memory = vec![1_u8; size << 20];
            for _ in 0..ROUNDS {
                let (fork, kept) = (raw_fork(), kept());
                let (failed, crashed) = (failed(), crashed());
                println!("{fork} {kept} {failed} {crashed}");
            }
            std::hint::black_box(memory);
        }
        Part::Show => show(),
    }
}

/// A fork, and the end of the child.
fn raw_fork() -> u64 {
    let begin = now_ns();
    // SAFETY: the child ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: runs no exit handlers.
        unsafe { libc::_exit(0) };
    }
    let took = now_ns() - begin;
    // SAFETY: waits for the child.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    took
}

fn kept() -> u64 {
    let begin = now_ns();
    attempt(|| Ok::<_, Infallible>(())).expect("nothing happens");
    now_ns() - begin
}

fn failed() -> u64 {
    let begin = now_ns();
    attempt(|| Err::<(), _>("no")).expect_err("it fails");
    now_ns() - begin
}

fn crashed() -> u64 {
    let begin = now_ns();
    attempt(|| -> Result<(), Infallible> {
        // SAFETY: ends this process.
        unsafe { libc::raise(libc::SIGKILL) };
        Ok(())
    })
    .expect_err("it is killed");
    now_ns() - begin
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn show() {
    println!("an empty attempt, milliseconds: the median and the quarters of {ROUNDS}\n");
    let names = [
        "fork()",
        "it succeeds",
        "it returns an error",
        "it is killed",
    ];
    print!("{:>20}", "");
    for name in names {
        print!("{name:>26}");
    }
    println!();
    for size in SIZES {
        for with_launcher in [true, false] {
            let rows = itself::rows::<4>(&size.to_string(), with_launcher, ROUNDS);
            let place = if with_launcher { "session" } else { "alone" };
            print!("{:>20}", format!("{size} MiB, {place}"));
            for column in 0..names.len() {
                let times = rows.iter().map(|row| row[column]).collect();
                let [low, median, high] = itself::quarters(times).map(|ns| ns as f64 / 1e6);
                print!("{:>26}", format!("{median:.2} ({low:.2}-{high:.2})"));
            }
            println!();
        }
    }
}
