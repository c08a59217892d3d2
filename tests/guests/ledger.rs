//! The shared part of the guests with an event loop: counts that must agree, threads that send
//! to the loop and wait for its answers, and the commands on stdin.
//!
//! A sender numbers its messages. The loop must get each of them, once and in order, and
//! answers with its number. The count, the sum and the number are three places in memory that
//! must agree. Timers count up. A disagreement, or a missing answer, ends the program with
//! status 70.
//!
//! On stdin: `go` waits until every timer and every sender has made progress; `mark N` keeps a
//! number and answers with the former one; `crash` has the loop abort; at the end of stdin the
//! guest ends by itself and prints `end ANSWERED`.
#![expect(unsafe_code, reason = "a broken program ends at once")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The status after a failed check.
const BROKEN: i32 = 70;

/// How long an answer may take: less than a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many messages of a sender are under way at most.
const WINDOW: u64 = 4;

/// Two periods that never fall on the same moment for long.
pub const PERIODS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(7)];

/// How often each timer has ticked.
static TICKS: [AtomicU64; PERIODS.len()] = [const { AtomicU64::new(0) }; PERIODS.len()];

/// How many senders there are, and how many of each one's messages have had an answer.
static SENDERS: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Tells the senders to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// A timer has ticked.
pub fn tick(timer: usize) {
    TICKS[timer].fetch_add(1, Ordering::Relaxed);
}

/// What the loop keeps for one sender.
#[derive(Debug, Default)]
pub struct Inbox {
    count: u64,
    sum: u64,
}

impl Inbox {
    /// Takes the next message. Returns the answer to send.
    pub fn receive(&mut self, message: u64) -> u64 {
        self.count += 1;
        self.sum += message;
        assert_eq!(message, self.count, "one is lost, or came twice");
        assert_eq!(self.sum, self.count * (self.count + 1) / 2, "their sum");
        message
    }
}

/// Ends the program when anything in it panics, even a runtime's task.
pub fn guard() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("broken: {panic}");
        // Several threads may fail, and only one may run the exit handlers. SAFETY: ends the
        // process, whatever its state.
        unsafe { libc::_exit(BROKEN) };
    }));
}

/// A thread that sends to the loop by `send`, and gets the answers by `answer`.
///
/// It naps in between, so that the loop is idle and must be woken.
pub fn sender(
    mut send: impl FnMut(u64) + Send + 'static,
    mut answer: impl FnMut() -> u64 + Send + 'static,
) -> JoinHandle<()> {
    let number = SENDERS.fetch_add(1, Ordering::Relaxed);
    let body = move || {
        let (mut sent, mut answered) = (0, 0);
        while !ENDING.load(Ordering::Relaxed) {
            for _ in 0..=sent % WINDOW {
                sent += 1;
                send(sent);
            }
            while answered < sent {
                let next = answer();
                answered += 1;
                assert_eq!(next, answered, "answers come in order, each once");
                ANSWERED[number].fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_micros(200 + sent % 7 * 200));
        }
    };
    let named = thread::Builder::new().name(format!("sender-{number}"));
    named.spawn(body).expect("there are threads left")
}

/// A sender whose answers come by a channel of the standard library.
pub fn sender_by_channel(
    send: impl FnMut(u64) + Send + 'static,
    answers: Receiver<u64>,
) -> JoinHandle<()> {
    sender(send, move || {
        answers.recv_timeout(PATIENCE).expect("the loop answers")
    })
}

/// A sender at one end of a pair of sockets: messages and answers are numbers of 8 bytes.
pub fn sender_by_socket(ours: UnixStream) -> JoinHandle<()> {
    for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
        set(&ours, Some(PATIENCE)).expect("no timeout of zero");
    }
    let mut back = ours.try_clone().expect("there is a descriptor left");
    let mut ours = ours;
    sender(
        move |message| ours.write_all(&message.to_le_bytes()).expect("it is open"),
        move || {
            let mut bytes = [0; 8];
            back.read_exact(&mut bytes).expect("the loop answers");
            u64::from_le_bytes(bytes)
        },
    )
}

/// Where the loop puts its answer. There is always room, or the sender has lost count.
pub fn answer(answers: &SyncSender<u64>, number: u64) {
    answers.try_send(number).expect("the sender takes each");
}

/// A channel for answers.
pub fn answers() -> (SyncSender<u64>, Receiver<u64>) {
    std::sync::mpsc::sync_channel(usize::try_from(WINDOW).expect("a few"))
}

/// Obeys stdin to its end.
pub fn obey(port: u16, crash: impl Fn()) {
    println!("ready {port}");
    let mut mark = "none".to_owned();
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("go", "") => {
                get_on(&TICKS, "a timer");
                get_on(&ANSWERED[..SENDERS.load(Ordering::Relaxed)], "a sender");
                println!("ok");
            }
            ("mark", next) => {
                println!("ok {mark}");
                next.clone_into(&mut mark);
            }
            ("crash", "") => {
                crash();
                // The answer is the end of this process.
                thread::sleep(PATIENCE);
                println!("err the loop was to abort");
            }
            _ => println!("err unknown command {line:?}"),
        }
    }
}

/// Waits until each of these has counted up three times.
fn get_on(counts: &[AtomicU64], what: &str) {
    let begin = Instant::now();
    for (number, count) in counts.iter().enumerate() {
        let until = count.load(Ordering::Relaxed) + 3;
        while count.load(Ordering::Relaxed) < until {
            assert!(begin.elapsed() < PATIENCE, "{what} stands still: {number}");
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Ends the senders, once each has an answer to all its messages.
pub fn end(senders: Vec<JoinHandle<()>>) {
    ENDING.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().expect("a panic ends the program");
    }
    let answered: u64 = ANSWERED
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .sum();
    println!("end {answered}");
}
