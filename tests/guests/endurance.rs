//! Guest: does a little of everything that a snapshot must bring back, and checks all of it all
//! the time: memory, a pipe, a pair of sockets, a file, a timer and an event counter in an
//! epoll set, an interval timer, a mutex with its condition, children, threads that come and
//! go.
//!
//! A failed check ends the program with status 70. On stdin, `mark N` is answered by
//! `mark N FORMER`, with the former number, once every worker has made progress since the last
//! answer; `alive` by `ok`, once every worker has made progress since the question; `exit N`,
//! `crash` and `abort` end it. With the argument `child N` it is a child and exits with that.
#![expect(unsafe_code, reason = "a broken program ends at once, and some crash")]

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// The status after a failed check.
const BROKEN: i32 = 70;

/// Milliseconds that a worker may stand still. It counts naps and not time, so that frozen time
/// doesn't count.
const PATIENCE_MS: u32 = 12_000;

/// How many workers there are at most.
const WORKERS: usize = 16;

/// Each worker's progress.
static PROGRESS: [AtomicU64; WORKERS] = [const { AtomicU64::new(0) }; WORKERS];

/// How often the interval timer has gone off.
static ALARMS: AtomicU64 = AtomicU64::new(0);

/// How often one of the program's own signals has come.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// The workers by name, as they were started.
#[derive(Default)]
struct Workers {
    names: Vec<&'static str>,
}

impl Workers {
    fn start(&mut self, name: &'static str, mut step: impl FnMut() + Send + 'static) {
        let progress = &PROGRESS[self.names.len()];
        self.names.push(name);
        let body = move || {
            loop {
                step();
                progress.fetch_add(1, Ordering::Relaxed);
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body);
        thread.expect("the program begins without a shortage");
    }

    /// Waits until every worker has made progress since `before`, and records how far each is.
    fn get_on(&self, before: &mut [u64; WORKERS]) {
        for ((name, before), progress) in self.names.iter().zip(before).zip(&PROGRESS) {
            let mut naps = 0;
            while progress.load(Ordering::Relaxed) == *before {
                assert!(naps < PATIENCE_MS, "{name} stands still");
                naps += 1;
                nap(1);
            }
            *before = progress.load(Ordering::Relaxed);
        }
    }
}

fn nap(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// A number that follows from this one, and looks like no other.
fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        // One line in one piece: the test waits for it, and shows it.
        let line = format!("broken: {panic}").replace('\n', " ") + "\n";
        let _ = std::io::stderr().write_all(line.as_bytes());
        // SAFETY: ends the process, whatever its state.
        unsafe { libc::_exit(BROKEN) };
    }));
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, status] = arguments.as_slice()
        && role == "child"
    {
        std::process::exit(status.parse().expect("a number"));
    }
    handle_signals();
    let mut workers = Workers::default();
    memory(&mut workers);
    pipe(&mut workers);
    pair(&mut workers);
    file(&mut workers);
    events(&mut workers);
    alarms(&mut workers);
    turns(&mut workers);
    children(&mut workers);
    passers_by(&mut workers);
    obey(&workers);
}

fn obey(workers: &Workers) {
    let mut before = [0; WORKERS];
    workers.get_on(&mut before);
    println!("ready {}", workers.names.len());
    let mut former = "0".to_owned();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["mark", number] => {
                workers.get_on(&mut before);
                println!("mark {number} {former}");
                number.clone_into(&mut former);
            }
            ["alive"] => {
                for (before, progress) in before.iter_mut().zip(&PROGRESS) {
                    *before = progress.load(Ordering::Relaxed);
                }
                workers.get_on(&mut before);
                println!("ok");
            }
            ["exit", status] => std::process::exit(status.parse().expect("a number")),
            ["abort"] => std::process::abort(),
            ["crash"] => {
                let nowhere: *mut u8 = std::ptr::without_provenance_mut(8);
                // SAFETY: none: it is meant to crash.
                unsafe { nowhere.write_volatile(1) };
            }
            _ => panic!("{line:?} is no command"),
        }
    }
}

extern "C" fn count_alarm(_: i32) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// SIGINT at depth 0 and SIGUSR2 are the program's own, and harmless.
fn handle_signals() {
    for (signal, handler) in [
        (Signal::SIGALRM, count_alarm as extern "C" fn(i32)),
        (Signal::SIGINT, count_signal),
        (Signal::SIGUSR2, count_signal),
    ] {
        let handler = SigHandler::Handler(handler);
        let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handlers touch an atomic number and nothing else.
        unsafe { sigaction(signal, &action) }.expect("it can be handled");
    }
}

/// Pages. Each contains its number.
fn memory(workers: &mut Workers) {
    const PAGE: usize = 512;
    const PAGES: usize = 1024;
    let mut words = vec![0_u64; PAGE * PAGES];
    let mut ages = vec![0_u64; PAGES];
    let fill = |page: &mut [u64], number: usize, age: u64| {
        for (word, place) in page.iter_mut().zip(0_u64..) {
            *word = scrambled(place ^ age << 20 ^ u64::try_from(number).expect("a few") << 10);
        }
    };
    for (number, page) in words.chunks_mut(PAGE).enumerate() {
        fill(page, number, 0);
    }
    let mut step = 0;
    let mut wanted = vec![0; PAGE];
    workers.start("memory", move || {
        step += 1;
        let number = usize::try_from(scrambled(step) % 1024).expect("a few");
        let page = &mut words[number * PAGE..][..PAGE];
        fill(&mut wanted, number, ages[number]);
        assert!(
            page == wanted,
            "page {number} of age {} has changed",
            ages[number]
        );
        ages[number] += 1;
        fill(page, number, ages[number]);
        if step.is_multiple_of(16) {
            nap(1);
        }
    });
}

/// Numbers through a stream, in order; a piece may come in two.
fn numbers(
    workers: &mut Workers,
    names: [&'static str; 2],
    mut writer: impl Write + Send + 'static,
    mut reader: impl Read + Send + 'static,
) {
    let mut next = 0_u64;
    workers.start(names[0], move || {
        let run: Vec<u8> = (next..next + 1 + scrambled(next) % 40)
            .flat_map(|number| scrambled(number).to_le_bytes())
            .collect();
        writer.write_all(&run).expect("the other end is open");
        next += u64::try_from(run.len() / 8).expect("a few");
        if scrambled(next).is_multiple_of(3) {
            nap(1);
        }
    });
    let mut wanted = 0;
    workers.start(names[1], move || {
        let mut bytes = [0; 8];
        reader
            .read_exact(&mut bytes)
            .expect("the other end is open");
        let got = u64::from_le_bytes(bytes);
        assert_eq!(got, scrambled(wanted), "number {wanted} of {}", names[1]);
        wanted += 1;
    });
}

fn pipe(workers: &mut Workers) {
    let (reader, writer) = std::io::pipe().expect("there are descriptors");
    numbers(workers, ["pipe-in", "pipe-out"], writer, reader);
}

fn pair(workers: &mut Workers) {
    let (one, other) = UnixStream::pair().expect("there are descriptors");
    numbers(workers, ["pair-in", "pair-out"], one, other);
}

/// A file of known contents that is read again and again: its offset is part of a snapshot.
fn file(workers: &mut Workers) {
    const WORDS: u64 = 5000;
    let path = std::env::temp_dir().join(format!("invariants-{}", std::process::id()));
    let mut made = File::create_new(&path).expect("the directory is writable");
    for number in 0..WORDS {
        let bytes = scrambled(number).to_le_bytes();
        made.write_all(&bytes).expect("there is room");
    }
    let mut file = File::open(&path).expect("it has just been made");
    std::fs::remove_file(&path).expect("it is ours");
    let mut next = 0;
    workers.start("file", move || {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes).expect("it is long enough");
        assert_eq!(
            u64::from_le_bytes(bytes),
            scrambled(next),
            "word {next} of the file"
        );
        next += 1;
        if next == WORDS {
            next = 0;
            file.rewind().expect("a file can be rewound");
            nap(1);
        }
    });
}

/// A timer and a counter in an epoll set. Every read of the counter returns what was added.
fn events(workers: &mut Workers) {
    static ADDED: Mutex<u64> = Mutex::new(0);
    let period = TimeSpec::from_duration(Duration::from_millis(5));
    let timer = TimerFd::new(
        ClockId::CLOCK_MONOTONIC,
        TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
    );
    let timer = timer.expect("there are descriptors");
    timer
        .set(Expiration::Interval(period), TimerSetTimeFlags::empty())
        .expect("a period");
    // Close-on-exec: a child would be another process that has it.
    let counter = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("there are descriptors");
    let counter: &'static EventFd = Box::leak(Box::new(counter));
    let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("there are descriptors");
    let readable = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
    set.add(timer.as_fd(), readable(1))
        .expect("it can be added");
    set.add(counter.as_fd(), readable(2))
        .expect("it can be added");
    workers.start("count", || {
        let mut added = ADDED.lock().expect("nobody panics here");
        counter.write(3).expect("it is far from full");
        *added += 3;
        drop(added);
        nap(2);
    });
    let mut read = 0;
    workers.start("events", move || {
        // A step is a tick of the timer, so a lost timer stands still.
        let mut has_ticked = false;
        while !has_ticked {
            let mut ready = [EpollEvent::empty(); 2];
            let count = set.wait(&mut ready, EpollTimeout::NONE).unwrap_or(0);
            for event in &ready[..count] {
                if event.data() == 2 {
                    let added = ADDED.lock().expect("nobody panics here");
                    read += counter.read().expect("it is readable");
                    assert_eq!(read, *added, "the counter");
                } else {
                    has_ticked = timer.wait().is_ok();
                }
            }
        }
    });
}

/// An interval timer goes on after every revert.
fn alarms(workers: &mut Workers) {
    let period = libc::timeval {
        tv_sec: 0,
        tv_usec: 20_000,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: reads one value, a live local.
    let done =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(done, 0, "a period");
    workers.start("alarms", || {
        let before = ALARMS.load(Ordering::Relaxed);
        while ALARMS.load(Ordering::Relaxed) == before {
            nap(3);
        }
    });
}

/// Two that take turns under a mutex with a condition.
fn turns(workers: &mut Workers) {
    static TURN: Mutex<u64> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    for (player, name) in [(0, "even"), (1, "odd")] {
        workers.start(name, move || {
            let turn = TURN.lock().expect("nobody panics here");
            let not_ours = |turn: &mut u64| *turn % 2 != player;
            let turn = CHANGED.wait_while(turn, not_ours);
            *turn.expect("nobody panics here") += 1;
            CHANGED.notify_all();
            nap(1);
        });
    }
}

/// Whether an error is a shortage, and not the program's fault.
fn is_short(error: &std::io::Error) -> bool {
    let short = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
    error.kind() == ErrorKind::WouldBlock
        || error
            .raw_os_error()
            .is_some_and(|number| short.contains(&number))
}

/// Children that come and go, each with its own status.
fn children(workers: &mut Workers) {
    let mut number = 0_u8;
    workers.start("children", move || {
        number = (number + 1) % 100;
        let child = Command::new("/proc/self/exe")
            .args(["child", &number.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match child {
            Ok(mut child) => {
                let status = child.wait().expect("it is ours to wait for");
                let fine = status.code() == Some(number.into()) || status.signal().is_some();
                assert!(fine, "child {number} has ended with {status}");
            }
            Err(error) => assert!(is_short(&error), "no child: {error}"),
        }
        nap(20);
    });
}

/// Threads that come and go.
fn passers_by(workers: &mut Workers) {
    let mut number = 0_u64;
    workers.start("threads", move || {
        number += 1;
        let wanted = scrambled(number);
        let started = thread::Builder::new().spawn(move || scrambled(number));
        match started {
            Ok(thread) => assert_eq!(thread.join().expect("it adds"), wanted),
            Err(error) => assert!(is_short(&error), "no thread: {error}"),
        }
        nap(7);
    });
}
