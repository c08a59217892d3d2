//! Guest: a storm of threads, which checks itself all the time. They move money under mutexes,
//! read and write records under a lock, fill and drain queues, pass the turn by parking, and
//! exchange blocks of memory. Threads come and go, and some of them panic.
//!
//! It prints `alive N PID` whenever *every* worker has made progress since the last such line,
//! so a stuck worker stops the line. A failed check ends the program with status 70. On stdin,
//! `mark TEXT` is answered by `mark TEXT N FORMER`, with the former mark, and `calm` ends the
//! threads that come and go and is answered by `ok THREADS`, the number that is left.
#![expect(unsafe_code, reason = "a broken program ends at once")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, RwLock, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

/// The status after a failed check.
const BROKEN: i32 = 70;

/// Milliseconds that a worker may stand still. It counts naps and not time, so that frozen time
/// doesn't count.
const PATIENCE_MS: u32 = 8000;

/// How many workers there are at most.
const WORKERS: usize = 32;

/// Each worker's progress.
static PROGRESS: [AtomicU64; WORKERS] = [const { AtomicU64::new(0) }; WORKERS];

/// How many `alive` lines there have been.
static ALIVE: AtomicU64 = AtomicU64::new(0);

/// Whether no more threads are started.
static CALM: AtomicBool = AtomicBool::new(false);

/// The payload of an intended panic.
struct Meant;

/// What a worker works with: its progress, and random numbers.
struct Worker {
    progress: &'static AtomicU64,
    random: u64,
}

impl Worker {
    /// Counts progress. Now and then it naps, so that all get their turn.
    fn step(&mut self) {
        let count = self.progress.fetch_add(1, Ordering::Relaxed);
        if count.is_multiple_of(8) {
            thread::sleep(Duration::from_micros(self.below(400)));
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn index(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a length fits");
        usize::try_from(self.below(limit)).expect("below a length")
    }
}

/// The workers' names, and their threads.
#[derive(Default)]
struct Workers {
    names: Vec<&'static str>,
}

impl Workers {
    fn start(
        &mut self,
        name: &'static str,
        mut step: impl FnMut(&mut Worker) + Send + 'static,
    ) -> Thread {
        let number = self.names.len();
        self.names.push(name);
        let progress = &PROGRESS[number];
        let random = 0x9e37_79b9_7f4a_7c15 ^ u64::try_from(number + 1).expect("a few");
        let body = move || {
            let mut worker = Worker { progress, random };
            loop {
                step(&mut worker);
                worker.step();
            }
        };
        let started = thread::Builder::new().name(name.into()).spawn(body);
        started.expect("there are threads left").thread().clone()
    }
}

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        if !panic.payload().is::<Meant>() {
            eprintln!("broken: {panic}");
            // SAFETY: ends the process, whatever its state.
            unsafe { libc::_exit(BROKEN) };
        }
    }));
    let mut workers = Workers::default();
    bank(&mut workers);
    record(&mut workers);
    queue(&mut workers);
    turns(&mut workers);
    pipeline(&mut workers);
    memory(&mut workers);
    passers_by(&mut workers);
    let names = workers.names;
    let workers = names.len();
    thread::spawn(move || live(&names));
    let mut former = "none".to_owned();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        if line == "calm" {
            calm_down(workers);
            // The workers, this thread and the one that prints `alive`.
            println!("ok {}", workers + 2);
        } else {
            println!("{line} {} {former}", ALIVE.load(Ordering::SeqCst));
            former = line.replace(' ', "-");
        }
    }
}

/// Prints `alive` whenever all workers have made progress.
fn live(names: &[&str]) {
    let mut before = vec![0; names.len()];
    loop {
        for ((name, before), progress) in names.iter().zip(&mut before).zip(&PROGRESS) {
            let mut naps = 0;
            while progress.load(Ordering::Relaxed) == *before {
                assert!(naps < PATIENCE_MS, "{name} stands still");
                naps += 1;
                thread::sleep(Duration::from_millis(1));
            }
            *before = progress.load(Ordering::Relaxed);
        }
        let count = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
        println!("alive {count} {}", std::process::id());
        thread::sleep(Duration::from_millis(4));
    }
}

fn calm_down(workers: usize) {
    CALM.store(true, Ordering::SeqCst);
    // Twice: the present step may have begun before.
    for progress in &PROGRESS[..workers] {
        let now = progress.load(Ordering::Relaxed);
        while progress.load(Ordering::Relaxed) < now + 2 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Accounts, each under its own mutex: none is overdrawn, and no money is lost.
fn bank(workers: &mut Workers) {
    const START: i64 = 1000;
    const COUNT: usize = 16;
    static ACCOUNTS: [Mutex<i64>; COUNT] = [const { Mutex::new(START) }; COUNT];
    for _ in 0..2 {
        workers.start("transfer", |worker| {
            let (from, to) = (worker.index(COUNT), worker.index(COUNT));
            if from == to {
                return;
            }
            let first = ACCOUNTS[from.min(to)].lock().expect("nobody panics here");
            let second = ACCOUNTS[from.max(to)].lock().expect("nobody panics here");
            let (mut payer, mut payee) = if from < to {
                (first, second)
            } else {
                (second, first)
            };
            let most = u64::try_from(*payer).expect("an account is overdrawn");
            let sum = i64::try_from(worker.below(most + 1)).expect("it is small");
            *payer -= sum;
            *payee += sum;
        });
    }
    workers.start("audit", |_| {
        let all: Vec<_> = ACCOUNTS
            .iter()
            .map(|account| account.lock().expect("nobody panics here"))
            .collect();
        let total: i64 = all.iter().map(|account| **account).sum();
        assert_eq!(total, START * 16, "money is lost or made");
    });
}

/// A record whose two halves always agree.
fn record(workers: &mut Workers) {
    static RECORD: RwLock<(u64, u64)> = RwLock::new((0, !0));
    workers.start("write", |worker| {
        let mut record = RECORD.write().expect("nobody panics here");
        let number = record.0.wrapping_add(worker.below(1000));
        record.0 = number;
        std::hint::black_box(&mut *record);
        record.1 = !number;
    });
    for _ in 0..2 {
        workers.start("read", |_| {
            let record = RECORD.read().expect("nobody panics here");
            assert_eq!(record.0, !record.1, "half a record");
        });
    }
}

/// A bounded queue with two conditions: nothing is lost, doubled or out of order.
fn queue(workers: &mut Workers) {
    const ROOM: usize = 4;
    static QUEUE: Mutex<VecDeque<u64>> = Mutex::new(VecDeque::new());
    static NOT_FULL: Condvar = Condvar::new();
    static NOT_EMPTY: Condvar = Condvar::new();
    let mut next = 0;
    workers.start("produce", move |_| {
        let mut queue = QUEUE.lock().expect("nobody panics here");
        while queue.len() == ROOM {
            queue = NOT_FULL.wait(queue).expect("nobody panics here");
        }
        queue.push_back(next);
        next += 1;
        NOT_EMPTY.notify_one();
    });
    let mut wanted = 0;
    workers.start("consume", move |worker| {
        let mut queue = QUEUE.lock().expect("nobody panics here");
        while queue.is_empty() {
            // Half the time with a limit that it never reaches.
            queue = if worker.below(2) == 0 {
                NOT_EMPTY.wait(queue).expect("nobody panics here")
            } else {
                let hour = Duration::from_secs(3600);
                let waited = NOT_EMPTY.wait_timeout(queue, hour);
                waited.expect("nobody panics here").0
            };
        }
        let got = queue.pop_front().expect("it is not empty");
        assert_eq!(got, wanted, "the queue is out of order");
        wanted += 1;
        NOT_FULL.notify_one();
    });
}

/// Two threads that park until it is their turn.
fn turns(workers: &mut Workers) {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    static PLAYERS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());
    for player in 0..2 {
        let thread = workers.start("turn", move |_| {
            while TURN.load(Ordering::SeqCst) & 1 != player {
                thread::park();
            }
            TURN.fetch_add(1, Ordering::SeqCst);
            let players = PLAYERS.lock().expect("nobody panics here");
            if let Some(other) = players.get(1 - player) {
                other.unpark();
            }
        });
        PLAYERS.lock().expect("nobody panics here").push(thread);
    }
    // A thread that looked for the other before it existed has woken no one.
    for player in PLAYERS.lock().expect("nobody panics here").iter() {
        player.unpark();
    }
}

/// Numbers through two channels, doubled in between.
fn pipeline(workers: &mut Workers) {
    let (source, doubler) = mpsc::sync_channel::<u64>(3);
    let (doubled, sink) = mpsc::sync_channel::<u64>(0);
    let mut next = 0;
    workers.start("source", move |_| {
        source.send(next).expect("the doubler lives");
        next += 1;
    });
    workers.start("double", move |_| {
        let number = doubler.recv().expect("the source lives");
        doubled.send(number * 2).expect("the sink lives");
    });
    let mut wanted = 0;
    workers.start("sink", move |_| {
        let number = sink.recv().expect("the doubler lives");
        assert_eq!(number, wanted, "a channel is out of order");
        wanted += 2;
    });
}

/// A block of memory that contains its own checksum.
struct Block {
    bytes: Vec<u8>,
    sum: u64,
}

impl Block {
    fn new(worker: &mut Worker) -> Self {
        let shift = worker.below(14);
        let length = worker.index(16 << shift) + 1;
        let first = worker.below(256);
        let bytes: Vec<u8> = (first..)
            .take(length)
            .map(|value| value.to_le_bytes()[0])
            .collect();
        let sum = sum(&bytes);
        Self { bytes, sum }
    }

    fn check(&self) {
        assert_eq!(sum(&self.bytes), self.sum, "memory has changed");
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4, |sum: u64, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Blocks that are made in one thread, kept for a while, and freed in another.
fn memory(workers: &mut Workers) {
    let (giver, taker) = mpsc::channel::<Block>();
    let held = &*Box::leak(Box::new(AtomicI64::new(0)));
    let mut kept: Vec<Block> = Vec::new();
    workers.start("allocate", move |worker| {
        kept.push(Block::new(worker));
        if kept.len() > 50 && held.load(Ordering::SeqCst) < 50 {
            let block = kept.swap_remove(worker.index(kept.len()));
            block.check();
            held.fetch_add(1, Ordering::SeqCst);
            giver.send(block).expect("the taker lives");
        } else if kept.len() > 100 {
            kept.swap_remove(0).check();
        }
    });
    workers.start("free", move |_| {
        taker.recv().expect("the giver lives").check();
        held.fetch_sub(1, Ordering::SeqCst);
    });
}

/// Thread-local values, which count their births and deaths.
static BORN: AtomicU64 = AtomicU64::new(0);
static DEAD: AtomicU64 = AtomicU64::new(0);

struct Local(Cell<u64>);

impl Local {
    fn new() -> Self {
        BORN.fetch_add(1, Ordering::SeqCst);
        Self(Cell::new(7))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        assert!(self.0.get() >= 7, "a thread-local value has changed");
        DEAD.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    static LOCAL: Local = Local::new();
}

/// A thread that lives for a moment, and panics at its end if asked to.
fn pass_by(number: u64, panics: bool) -> u64 {
    LOCAL.with(|local| local.0.set(local.0.get() + number));
    let mut worker = Worker {
        progress: &PROGRESS[WORKERS - 1],
        random: number + 1,
    };
    let block = Block::new(&mut worker);
    thread::yield_now();
    block.check();
    let value = LOCAL.with(|local| local.0.get());
    assert_eq!(value, 7 + number, "another thread's value");
    if panics {
        panic_any(Meant);
    }
    value
}

/// Threads that come and go.
fn passers_by(workers: &mut Workers) {
    workers.start("spawn", |worker| {
        if CALM.load(Ordering::SeqCst) {
            return;
        }
        let (born, dead) = (BORN.load(Ordering::SeqCst), DEAD.load(Ordering::SeqCst));
        assert_eq!(born, dead, "a thread's destructor is missing");
        let threads: Vec<_> = (0..1 + worker.below(5))
            .map(|number| {
                let panics = worker.below(3) == 0;
                (
                    number,
                    panics,
                    thread::spawn(move || pass_by(number, panics)),
                )
            })
            .collect();
        for (number, panics, thread) in threads {
            match thread.join() {
                Ok(value) => assert!(!panics && value == number + 7, "a wrong result"),
                Err(payload) => assert!(panics && payload.is::<Meant>(), "a wrong panic"),
            }
        }
    });
    let mut numbers: Vec<u64> = (0..300).collect();
    workers.start("scope", move |worker| {
        if CALM.load(Ordering::SeqCst) {
            return;
        }
        let (left, right) = numbers.split_at_mut(100 + worker.index(100));
        let total: u64 = thread::scope(|scope| {
            let left = scope.spawn(|| left.iter().sum::<u64>());
            let right = scope.spawn(|| {
                right.reverse();
                right.iter().sum::<u64>()
            });
            left.join().expect("it adds") + right.join().expect("it adds")
        });
        assert_eq!(total, 299 * 150, "numbers are lost");
    });
    workers.start("catch", |worker| {
        let deep = worker.below(20);
        let caught = catch_unwind(|| descend(deep)).expect_err("it panics");
        assert!(caught.is::<Meant>(), "another panic");
    });
    // These are detached. Each lives until its handle is gone: glibc looks once more at a
    // thread that it has just detached. If that has ended meanwhile, glibc looks at the next
    // one in its place, and the join of that one fails. Seen without the tool.
    static DETACHED: AtomicI64 = AtomicI64::new(0);
    workers.start("detach", |_| {
        if DETACHED.load(Ordering::SeqCst) < 4 && !CALM.load(Ordering::SeqCst) {
            DETACHED.fetch_add(1, Ordering::SeqCst);
            let (let_go, until) = mpsc::channel::<()>();
            drop(thread::spawn(move || {
                let _ = until.recv();
                DETACHED.fetch_sub(1, Ordering::SeqCst);
            }));
            drop(let_go);
        }
    });
}

/// Unwinds through some frames, each with something to drop.
fn descend(deep: u64) -> u64 {
    let kept = Box::new(deep);
    if deep == 0 {
        panic_any(Meant);
    }
    descend(deep - 1) + *kept
}
