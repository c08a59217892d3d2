//! Guest: a crowd of threads that all do the same odd thing and count how often.
//!
//! `crowd KIND [COUNT [SIZE]]`, where KIND is `count` (naps between counting), `blocked` (the
//! same with every signal blocked), `heap` (allocates and frees), `spawn` (starts and joins
//! threads), `handler` (spends its time in a signal handler), `alternate` (the same on an
//! alternate stack of SIZE bytes, of SIGSTKSZ if that is 0) or `deep` (recurses through SIZE megabytes of stack).
//!
//! On stdin: `advance` waits until every thread has made progress, `bottom` until every deep
//! one is at its end, `climb` lets those return; `set VALUE` returns the former value; `block`
//! and `unblock` are for USR1 in the main thread alone. A failed check ends the program with
//! status 70.
#![expect(unsafe_code, reason = "signals and stacks as a C program uses them")]

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};

/// How often a thread is looked at, every 5 ms, before it counts as stuck. Looks and not time,
/// so that frozen time doesn't count.
const LOOKS: u32 = 1600;

/// How often each thread has done its thing.
type Counts = &'static [AtomicU64];

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("broken: {panic}");
        // SAFETY: ends the process, whatever its state.
        unsafe { libc::_exit(70) };
    }));
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().expect("usage: crowd KIND [COUNT [SIZE]]");
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, size) = (number(4), number(8192));
    let counts: Counts = (0..count)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak();
    if kind == "handler" || kind == "alternate" {
        handle(kind == "alternate");
    }
    for count in counts {
        start(&kind, size, count);
    }
    obey(counts);
}

fn obey(counts: Counts) {
    let mut memory = "-".to_owned();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["advance"] => match advance_after(counts, || ()) {
                Ok(()) => println!("ok {}", counts.len()),
                Err(number) => println!("err thread {number} stands still"),
            },
            ["bottom"] => {
                let at_bottom = || AT_BOTTOM.load(Ordering::SeqCst) == counts.len();
                println!("{}", if look(at_bottom) { "ok" } else { "err never" });
            }
            ["climb"] => {
                let climb = || CLIMBS.fetch_add(1, Ordering::SeqCst);
                match advance_after(counts, climb) {
                    Ok(_) => println!("ok"),
                    Err(number) => println!("err thread {number} stays down"),
                }
            }
            // The same, without a wait.
            ["leave"] => {
                CLIMBS.fetch_add(1, Ordering::SeqCst);
                println!("ok");
            }
            ["set", value] => println!("ok {}", std::mem::replace(&mut memory, value.into())),
            ["block"] => {
                let blocked = SigSet::from(Signal::SIGUSR1).thread_block();
                println!("ok {blocked:?}");
            }
            ["unblock"] => {
                let unblocked = SigSet::from(Signal::SIGUSR1).thread_unblock();
                println!("ok {unblocked:?}");
            }
            _ => println!("err unknown command {words:?}"),
        }
    }
}

fn look(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Does something and waits until every thread has made progress; names one that hasn't.
fn advance_after<T>(counts: Counts, act: impl FnOnce() -> T) -> Result<T, usize> {
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let before: Vec<u64> = counts.iter().map(load).collect();
    let done = act();
    for (number, (count, before)) in counts.iter().zip(before).enumerate() {
        if !look(|| load(count) > before) {
            return Err(number);
        }
    }
    Ok(done)
}

fn start(kind: &str, size: usize, count: &'static AtomicU64) {
    let mut thread = thread::Builder::new();
    if kind == "deep" {
        // A frame is larger than its contents.
        thread = thread.stack_size(size << 21);
    }
    let kind = kind.to_owned();
    let body = move || {
        match kind.as_str() {
            "blocked" => SigSet::all().thread_block().expect("any mask is valid"),
            "alternate" => stand_on(size),
            _ => {}
        }
        let mut heap = Heap::default();
        loop {
            match kind.as_str() {
                "count" | "blocked" => thread::sleep(Duration::from_millis(2)),
                "heap" => heap.change(count.load(Ordering::Relaxed)),
                "spawn" => {
                    let other = thread::spawn(|| thread::current().id());
                    let (other, this) = (other.join(), thread::current().id());
                    assert_ne!(other.expect("it does not panic"), this);
                }
                "handler" | "alternate" => raise(Signal::SIGUSR2).expect("it may signal itself"),
                "deep" => descend(size << 20),
                _ => panic!("unknown kind {kind}"),
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread.spawn(body).expect("there are threads left");
}

/// Blocks of all sizes that come and go.
#[derive(Default)]
struct Heap(Vec<Vec<u64>>);

impl Heap {
    fn change(&mut self, number: u64) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let length = usize::try_from(mixed >> 52).expect("12 bits") + 1;
        self.0.push(vec![number; length]);
        if self.0.len() > 40 {
            let index = usize::try_from(mixed >> 40 & 31).expect("5 bits");
            let block = self.0.swap_remove(index);
            let first = block[0];
            assert!(
                block.iter().all(|&value| value == first),
                "memory has changed"
            );
        }
    }
}

/// The calling thread's alternate stack, if it has one.
type Bounds = (usize, usize);

thread_local! {
    static STACK: Cell<Option<Bounds>> = const { Cell::new(None) };
}

/// Gives the calling thread an alternate stack of this size, and not a byte more.
fn stand_on(size: usize) {
    /// In glibc, but not in the crate `libc`.
    const SC_SIGSTKSZ: i32 = 250;
    // SAFETY: takes a number.
    let usual = unsafe { libc::sysconf(SC_SIGSTKSZ) };
    // SAFETY: takes a number.
    let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    let size = match size {
        0 => usize::try_from(usual).expect("libc knows it"),
        // As Rust does for its own.
        size => size.max(usize::try_from(least).expect("it fits")),
    };
    let stack = vec![0_u8; size].leak();
    let start = stack.as_mut_ptr();
    let new = libc::stack_t {
        ss_sp: start.cast(),
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: the memory lives as long as the program.
    let done = unsafe { libc::sigaltstack(&raw const new, null_mut()) };
    assert_eq!(done, 0, "a stack of {size} bytes is too small");
    STACK.set(Some((start.addr(), start.addr() + size)));
}

/// Works for a while on data on its stack.
extern "C" fn on_signal(_: i32) {
    let mut values = [1_u64, 2, 3, 4];
    let place = std::hint::black_box(&raw mut values).addr();
    let is_wrong = |(start, end): Bounds| !(start..end).contains(&place);
    if STACK.get().is_some_and(is_wrong) {
        std::process::abort();
    }
    for round in 0..50_000_u64 {
        for value in &mut values {
            *value = value.wrapping_add(round);
        }
        std::hint::black_box(&mut values);
    }
    let added = 50_000 * 49_999 / 2;
    if values != [1 + added, 2 + added, 3 + added, 4 + added] {
        std::process::abort();
    }
}

fn handle(alternate: bool) {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    if alternate {
        action.sa_flags = libc::SA_ONSTACK;
    }
    // SAFETY: the handler touches its own stack and a constant thread-local only.
    let done = unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, null_mut()) };
    assert_eq!(done, 0, "SIGUSR2 can be handled");
}

/// How many deep threads are at their end, and how often they were let go.
static AT_BOTTOM: AtomicUsize = AtomicUsize::new(0);
static CLIMBS: AtomicU64 = AtomicU64::new(0);

/// Fills a frame, goes deeper until `left` bytes of stack are used, and checks the frame on
/// the way back.
fn descend(left: usize) {
    const FRAME: usize = 1 << 12;
    let tag = u64::try_from(left).expect("it fits");
    let mut frame = [0_u64; FRAME / 8];
    for (index, word) in (0..).zip(&mut frame) {
        *word = tag ^ index;
    }
    std::hint::black_box(&mut frame);
    if left > FRAME {
        descend(left - FRAME);
    } else {
        let climbs = CLIMBS.load(Ordering::SeqCst);
        AT_BOTTOM.fetch_add(1, Ordering::SeqCst);
        while CLIMBS.load(Ordering::SeqCst) == climbs {
            thread::sleep(Duration::from_millis(2));
        }
        AT_BOTTOM.fetch_sub(1, Ordering::SeqCst);
    }
    std::hint::black_box(&mut frame);
    let intact = (0..).zip(&frame).all(|(index, &word)| word == tag ^ index);
    assert!(intact, "the stack has changed {left} bytes from its end");
}
