//! Whether a program is slower under the launcher while no snapshot is taken:
//! `cargo bench -p snapshot-tests --bench idle_cost`.
//!
//! Each piece of work runs under the launcher and without it in turn, so that a noisy
//! moment of the machine meets both.

#[path = "measured/itself.rs"]
mod itself;

use std::hint::black_box;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use itself::Part;

const ROUNDS: usize = 25;

fn main() {
    match itself::part() {
        Part::Measured(work) => {
            // Once for the caches and the heap.
            do_work(&work);
            let begin = Instant::now();
            do_work(&work);
            println!("{}", begin.elapsed().as_nanos());
        }
        Part::Show => show(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn show() {
    println!(
        "milliseconds, medians of {ROUNDS} runs each, in turn; the quarters below and above\n"
    );
    println!(
        "{:>12} {:>24} {:>24} {:>7} {:>9}",
        "", "without", "under the launcher", "ratio", "of least"
    );
    for work in ["computing", "allocating", "locking"] {
        let mut without = Vec::new();
        let mut with = Vec::new();
        for round in 0..2 * ROUNDS {
            let with_launcher = round % 2 == 1;
            let text = itself::run(work, with_launcher);
            let ns: u64 = text.trim().parse().expect("a time");
            if with_launcher {
                &mut with
            } else {
                &mut without
            }
            .push(ns);
        }
        let least = |values: &[u64]| values.iter().copied().min().unwrap_or(1) as f64;
        let of_least = least(&with) / least(&without);
        let (without, with) = (itself::quarters(without), itself::quarters(with));
        let text = |quarters: [u64; 3]| {
            let [low, middle, high] = quarters.map(|ns| ns as f64 / 1e6);
            format!("{middle:.1} ({low:.1}..{high:.1})")
        };
        println!(
            "{work:>12} {:>24} {:>24} {:>7.3} {of_least:>9.3}",
            text(without),
            text(with),
            with[1] as f64 / without[1] as f64,
        );
    }
}

fn do_work(work: &str) {
    match work {
        "computing" => compute(),
        "allocating" => on_threads(allocate),
        "locking" => lock_and_wait(),
        _ => panic!("no such work: {work}"),
    }
}

/// Arithmetic alone.
fn compute() {
    let mut state = 1_u64;
    for step in 0..150_000_000_u64 {
        state = black_box(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step),
        );
    }
    black_box(state);
}

fn on_threads(work: fn()) {
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(work)).collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}

/// Small blocks and large ones, many of them at a time.
fn allocate() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for step in 0..6_000_000_usize {
        let size = 16 + (step * 7919) % 2000;
        kept.push(Vec::with_capacity(black_box(size)));
        if kept.len() > 1000 {
            kept.swap_remove(step % 1000);
        }
        if step % 10_000 == 0 {
            // One that the allocator gives back to the kernel.
            black_box(vec![1_u8; 1 << 20]);
        }
    }
}

/// Two threads that hand each other the turn: each time one waits in the kernel.
fn lock_and_wait() {
    let shared = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let threads: Vec<_> = (0..2_u32)
        .map(|own| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for _ in 0..15_000 {
                    let (turn, changed) = &*shared;
                    let mut turn = turn.lock().expect("nobody panics");
                    while *turn % 2 != own {
                        turn = changed.wait(turn).expect("nobody panics");
                    }
                    *turn += 1;
                    changed.notify_one();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}
