//! Guest: sums in parallel on a rayon pool, round after round without a pause, so that a
//! snapshot falls into the middle of one. Each round's sum goes into a checksum that depends on
//! all rounds before; the test computes it from the salts without threads.
//!
//! Obeys commands between two rounds, in the thread that waits for the pool.

use std::process::ExitCode;
use std::sync::mpsc::{self, TryRecvError};

use rayon::prelude::*;

const WORKERS: usize = 4;

/// How many numbers a round adds up.
const NUMBERS: u64 = 4096;

struct Summing {
    pool: rayon::ThreadPool,
    numbers: Vec<u64>,
    round: u64,
    checksum: u64,
    /// From which round on which salt is used.
    salts: Vec<(u64, u64)>,
    /// Make the next round fail in a worker.
    fail: bool,
}

fn main() -> ExitCode {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .thread_name(|index| format!("sum-{index}"))
        .build()
        .expect("threads are to be had");
    // Each has begun, and has its name.
    pool.broadcast(|_| ());
    let mut summing = Summing {
        pool,
        numbers: (0..NUMBERS).collect(),
        round: 0,
        checksum: 0,
        salts: vec![(0, 0)],
        fail: false,
    };
    let (sender, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.send(line.expect("stdin is text")).is_err() {
                break;
            }
        }
    });
    println!("ready");
    loop {
        match commands.try_recv() {
            Ok(command) => println!("{}", summing.obey(&command)),
            Err(TryRecvError::Empty) => summing.next_round(),
            Err(TryRecvError::Disconnected) => break,
        }
    }
    println!("end {} {}", summing.state(), summing.checksum);
    ExitCode::from(9)
}

impl Summing {
    fn obey(&mut self, command: &str) -> String {
        match *command.split_whitespace().collect::<Vec<_>>() {
            ["salt", salt] => match salt.parse() {
                Ok(salt) => {
                    self.salts.push((self.round, salt));
                    "ok".into()
                }
                Err(error) => format!("err {error}"),
            },
            ["salts"] => {
                let salts: Vec<_> = self
                    .salts
                    .iter()
                    .map(|(_, salt)| salt.to_string())
                    .collect();
                format!("ok {}", salts.join(" "))
            }
            ["advance"] => {
                for _ in 0..50 {
                    self.next_round();
                }
                "ok".into()
            }
            // Every worker must take part, idle or not.
            ["workers"] => {
                let names = self
                    .pool
                    .broadcast(|_| std::thread::current().name().unwrap_or_default().to_owned());
                format!("ok {}", names.join(" "))
            }
            ["fail"] => {
                self.fail = true;
                self.next_round();
                "err it has not failed".into()
            }
            _ => format!("err unknown command {command:?}"),
        }
    }

    fn next_round(&mut self) {
        let factor = 2 * self.round + 1;
        let salt = self.salts.last().map_or(0, |&(_, salt)| salt);
        let fail = self.fail;
        let (pool, numbers) = (&self.pool, &self.numbers);
        let sum = pool.install(|| {
            numbers
                .par_iter()
                .map(|&number| {
                    assert!(!(fail && number == 1234), "told to fail");
                    number.wrapping_mul(factor).wrapping_add(salt)
                })
                .reduce(|| 0, u64::wrapping_add)
        });
        self.checksum = self.checksum.rotate_left(5) ^ sum;
        self.round += 1;
    }

    /// The rounds, and the salts with their first rounds.
    fn state(&self) -> String {
        let salts: Vec<String> = self
            .salts
            .iter()
            .map(|(round, salt)| format!("{round}:{salt}"))
            .collect();
        format!("{} {}", self.round, salts.join(","))
    }
}
