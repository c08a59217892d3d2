//! Where the time of a take goes, from the signal to the launcher until the program runs
//! again: the moments that the event tells, and the phases that the program itself knows, each
//! beside a raw fork of the same process.

use snapshot_launch::event::Moments;

use crate::guest::Guest;
use crate::session::Session;

/// What is measured, and how it is called.
const CASES: [(&str, Guest, usize); 6] = [
    ("1 thread", small(1, 0), 300),
    ("8 threads", small(8, 0), 300),
    ("64 threads", small(64, 0), 200),
    ("20 files", small(1, 20), 200),
    ("200 files", small(1, 200), 200),
    ("8 threads, huge pages", large(), 7),
];

const fn small(threads: usize, files: usize) -> Guest {
    Guest {
        threads,
        megabytes: 10,
        small_pages: true,
        shared_out: false,
        files,
    }
}

const fn large() -> Guest {
    Guest {
        megabytes: 4096,
        small_pages: false,
        ..small(8, 0)
    }
}

/// The rows: what lies between two moments that follow each other, the whole, what the
/// program says, and a raw fork.
const ROWS: [&str; 17] = [
    "launcher wakes",
    "launcher tells the supervisor",
    "supervisor looks and signals",
    "handler begins",
    "program calls the supervisor",
    "all threads are parked",
    "supervisor has looked, split beside",
    "copy sleeps",
    "supervisor says go",
    "program runs",
    "from the signal",
    "raw fork",
    "program: park",
    "program: record",
    "program: split",
    "program: complete",
    "program: release",
];

type Round = [u64; ROWS.len()];

pub fn print() {
    println!("median (p99) of each step, in microseconds\n");
    for (name, guest, rounds) in CASES {
        let all = measure(guest, rounds);
        println!("{name}, {} MB:", guest.megabytes);
        for (row, step) in ROWS.iter().enumerate() {
            let mut values: Vec<u64> = all.iter().map(|round| round[row] / 1000).collect();
            values.sort_unstable();
            let at = |part: usize| values[(values.len() * part / 100).min(values.len() - 1)];
            println!("  {step:36} {:6} ({})", at(50), at(99));
        }
        println!();
    }
}

fn measure(guest: Guest, rounds: usize) -> Vec<Round> {
    if !guest.small_pages {
        return (0..rounds).map(|_| first_of(guest)).collect();
    }
    let mut session = Session::start(guest);
    let mut round = || {
        session.touch(1);
        let fork = session.raw_fork().0;
        session.touch(1);
        let (sent, moments) = session.take_by_launcher();
        let phases = session.phases();
        session.commit();
        one_round(sent, &moments, fork, phases)
    };
    // The first is for the caches.
    round();
    (0..rounds).map(|_| round()).collect()
}

/// The first take in the life of a program, beside the first raw fork of one with pages of
/// 4 KB: huge pages that are written to while a copy has them are huge no more.
fn first_of(guest: Guest) -> Round {
    let small = Guest {
        small_pages: true,
        ..guest
    };
    let fork = Session::start(small).raw_fork().0;
    let mut session = Session::start(guest);
    let (sent, moments) = session.take_by_launcher();
    let phases = session.phases();
    one_round(sent, &moments, fork, phases)
}

fn one_round(sent: u64, moments: &Moments, fork: u64, phases: [u64; 5]) -> Round {
    let passed = [
        sent,
        moments.asked,
        moments.heard,
        moments.signalled,
        moments.entered,
        moments.called,
        moments.parked,
        moments.looked,
        moments.frozen,
        moments.go,
        moments.running,
    ];
    let steps = passed
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    let whole = [moments.running - sent, fork];
    let mut all = steps.chain(whole).chain(phases);
    std::array::from_fn(|_| all.next().expect("one for each row"))
}
