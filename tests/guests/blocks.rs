//! The shared part of the guests with their own allocator: threads that make blocks of memory,
//! pass them around a ring, check them and free them elsewhere. A block's number determines
//! every word of it, so a block of two owners, or of another time, is noticed.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

const THREADS: u64 = 4;

/// How many blocks a thread keeps, and how many wait at most for the next one.
const KEPT: usize = 256;
const WAITING: usize = 64;

/// How long an answer may take: less than a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(15);

// Relaxed: the counts publish nothing else.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    crash: AtomicBool,
    made: AtomicU64,
    freed: AtomicU64,
    /// How often everything should have been checked, and how often a thread has done so.
    checks_asked: AtomicU64,
    checks_done: AtomicU64,
}

/// Some words of memory, which all follow from the first.
struct Block(Vec<u64>);

impl Block {
    fn new(seed: u64, words: usize) -> Self {
        // Without the right capacity it would move while it grows.
        let mut block = Vec::with_capacity(words / 3);
        block.extend((0..).take(words).map(|index| mix(seed, index)));
        Self(block)
    }

    fn check(&self) {
        let seed = self.0.first().copied().unwrap_or(0);
        // `mix` of index 0 is the seed itself.
        let intact = (0..)
            .zip(&self.0)
            .all(|(index, &word)| word == mix(seed, index));
        assert!(intact, "the block of {seed:#x} is damaged");
    }
}

fn mix(seed: u64, index: u64) -> u64 {
    seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// The guest. Ends with status 4 when stdin does.
pub fn run() -> ExitCode {
    let shared = Arc::new(Shared::default());
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| sync_channel(WAITING)).unzip();
    // Thread n gives to thread n + 1.
    let givers = senders.into_iter().cycle().skip(1);
    let threads: Vec<_> = (0..THREADS)
        .zip(givers.zip(receivers).collect::<Vec<_>>())
        .map(|(index, (next, from))| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("blocks-{index}"))
                .spawn(move || work(index, &shared, next, &from))
                .expect("threads are to be had")
        })
        .collect();
    println!("ready");

    let mut marks: Vec<String> = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["mark", mark] => {
                marks.push(mark.to_owned());
                println!("ok");
            }
            ["marks"] => println!("ok {}", marks.join(" ")),
            ["advance"] => {
                let until = shared.made.load(Ordering::Relaxed) + 2000;
                answer(|| shared.made.load(Ordering::Relaxed) >= until);
            }
            ["check"] => {
                let asked = shared.checks_asked.fetch_add(1, Ordering::Relaxed) + 1;
                let done = asked * THREADS;
                answer(|| shared.checks_done.load(Ordering::Relaxed) == done);
            }
            ["crash"] => shared.crash.store(true, Ordering::Relaxed),
            _ => println!("err unknown command {line:?}"),
        }
    }

    shared.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no block is damaged");
    }
    let made = shared.made.load(Ordering::Relaxed);
    let freed = shared.freed.load(Ordering::Relaxed);
    println!("end {} {}", made - freed, marks.join(","));
    ExitCode::from(4)
}

/// Waits until the threads have done something.
fn answer(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            println!("err a thread does nothing any more");
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("ok");
}

fn work(index: u64, shared: &Shared, next: SyncSender<Block>, from: &Receiver<Block>) {
    let free = |block: Block| {
        block.check();
        drop(block);
        shared.freed.fetch_add(1, Ordering::Relaxed);
    };
    let mut kept: Vec<Block> = Vec::new();
    let mut random = index;
    let mut checked = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        for _ in 0..32 {
            random = random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            let block = Block::new(random, size(random >> 32));
            shared.made.fetch_add(1, Ordering::Relaxed);
            if kept.len() < KEPT {
                kept.push(block);
                continue;
            }
            let slot = usize::try_from(random >> 40).expect("24 bits fit") % KEPT;
            let old = std::mem::replace(&mut kept[slot], block);
            match next.try_send(old) {
                Ok(()) => {}
                Err(TrySendError::Full(old) | TrySendError::Disconnected(old)) => free(old),
            }
            // This frees what another thread has made.
            from.try_iter().take(2).for_each(free);
        }
        if checked < shared.checks_asked.load(Ordering::Relaxed) {
            kept.iter().for_each(Block::check);
            checked += 1;
            shared.checks_done.fetch_add(1, Ordering::Relaxed);
        }
        if shared.crash.load(Ordering::Relaxed) {
            std::process::abort();
        }
        // Other programs need the processor too.
        std::thread::sleep(Duration::from_micros(200));
    }
    // First no thread can give any more, so that none waits in vain then.
    drop(next);
    kept.into_iter().for_each(free);
    from.iter().for_each(free);
}

/// Mostly small blocks, some large ones, and a few with a mapping of their own.
fn size(random: u64) -> usize {
    let small = usize::try_from(random % 500).expect("a small number") + 1;
    match random % 1021 {
        0 => small * 512,
        1..=15 => small * 32,
        _ => small,
    }
}
