//! Guest: two bare event loops, without a runtime. The busy one has descriptors of every kind
//! that epoll is used with: two timerfds, a listener and its connections, a waker, a pair of
//! sockets and a pipe. The quiet one has its waker alone, so nothing else ends its sleep.

mod ledger;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::unix::{SourceFd, pipe};
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

const WAKER: Token = Token(0);

/// What a wake-up means to the loops.
static CRASH: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    ledger::guard();
    let (mut busy, mut quiet) = (Loop::new(), Loop::new());
    let address = "127.0.0.1:0".parse().expect("it is an address");
    let mut listener = TcpListener::bind(address).expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let token = busy.add(&mut listener);
    busy.parts.insert(token, Part::Listener(listener));
    for timer in 0..ledger::PERIODS.len() {
        busy.timer(timer);
    }
    let senders = vec![busy.sender(), quiet.sender(), busy.pair(), busy.pipe()];
    let wakers = [Arc::clone(&busy.waker), Arc::clone(&quiet.waker)];
    let wake = |waker: &Waker| waker.wake().expect("it is an eventfd");
    let loops = [busy, quiet].map(|each| thread::spawn(move || each.run()));

    ledger::obey(port, || {
        CRASH.store(true, Ordering::SeqCst);
        wake(&wakers[0]);
    });
    ledger::end(senders);
    STOP.store(true, Ordering::SeqCst);
    for (waker, thread) in wakers.iter().zip(loops) {
        wake(waker);
        thread.join().expect("a panic ends the program");
    }
}

/// What a loop watches.
enum Part {
    /// Messages are in memory; a wake-up announces them.
    Queue(Receiver<u64>, ledger::Inbox, SyncSender<u64>),
    Listener(TcpListener),
    Client(TcpStream),
    Timer(usize, TimerFd),
    /// Messages and answers go through the same socket.
    Pair(UnixStream, ledger::Inbox),
    Pipe(pipe::Receiver, ledger::Inbox, SyncSender<u64>),
}

struct Loop {
    poll: Poll,
    parts: HashMap<Token, Part>,
    last: usize,
    waker: Arc<Waker>,
}

impl Loop {
    fn new() -> Self {
        let poll = Poll::new().expect("epoll is to be had");
        let waker = Waker::new(poll.registry(), WAKER).expect("eventfds are to be had");
        Self {
            poll,
            parts: HashMap::new(),
            last: 0,
            waker: Arc::new(waker),
        }
    }

    fn add(&mut self, source: &mut impl Source) -> Token {
        self.last += 1;
        let token = Token(self.last);
        let added = self
            .poll
            .registry()
            .register(source, token, Interest::READABLE);
        added.expect("epoll takes them");
        token
    }

    fn timer(&mut self, number: usize) {
        let clock = ClockId::CLOCK_MONOTONIC;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(clock, flags).expect("timers are to be had");
        let period = TimeSpec::from(ledger::PERIODS[number]);
        let set = timer.set(Expiration::Interval(period), TimerSetTimeFlags::empty());
        set.expect("a period is not negative");
        let token = self.add(&mut SourceFd(&timer.as_fd().as_raw_fd()));
        self.parts.insert(token, Part::Timer(number, timer));
    }

    /// A sender that wakes the loop up.
    fn sender(&mut self) -> JoinHandle<()> {
        let (sender, messages) = mpsc::channel();
        let (answers, answered) = ledger::answers();
        let part = Part::Queue(messages, ledger::Inbox::default(), answers);
        self.parts.insert(WAKER, part);
        let waker = Arc::clone(&self.waker);
        let send = move |message| {
            sender.send(message).expect("the loop lives");
            waker.wake().expect("it is an eventfd");
        };
        ledger::sender_by_channel(send, answered)
    }

    fn pair(&mut self) -> JoinHandle<()> {
        let pair = std::os::unix::net::UnixStream::pair();
        let (ours, theirs) = pair.expect("there are descriptors left");
        theirs.set_nonblocking(true).expect("it is a socket");
        let mut theirs = UnixStream::from_std(theirs);
        let token = self.add(&mut theirs);
        let part = Part::Pair(theirs, ledger::Inbox::default());
        self.parts.insert(token, part);
        ledger::sender_by_socket(ours)
    }

    fn pipe(&mut self) -> JoinHandle<()> {
        let (mut sender, mut receiver) = pipe::new().expect("there are descriptors left");
        let (answers, answered) = ledger::answers();
        let token = self.add(&mut receiver);
        let part = Part::Pipe(receiver, ledger::Inbox::default(), answers);
        self.parts.insert(token, part);
        let send = move |message: u64| {
            let written = sender.write_all(&message.to_le_bytes());
            written.expect("it holds more than is ever under way");
        };
        ledger::sender_by_channel(send, answered)
    }

    /// Runs until it is stopped.
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        while !STOP.load(Ordering::SeqCst) {
            if let Err(error) = self.poll.poll(&mut events, None) {
                assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            }
            if CRASH.load(Ordering::SeqCst) {
                std::process::abort();
            }
            for event in &events {
                self.serve(event.token());
            }
        }
    }

    fn serve(&mut self, token: Token) {
        let part = self.parts.get_mut(&token);
        let part = part.expect("what is closed leaves epoll");
        let mut gone = false;
        let mut come = Vec::new();
        match part {
            Part::Queue(messages, inbox, answers) => {
                while let Ok(message) = messages.try_recv() {
                    ledger::answer(answers, inbox.receive(message));
                }
            }
            Part::Listener(listener) => {
                loop {
                    match listener.accept() {
                        Ok((client, _)) => come.push(client),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        // The client has hung up already.
                        Err(_) => {}
                    }
                }
            }
            Part::Client(client) => gone = echo(client),
            Part::Timer(number, timer) => {
                let mut expirations = [0; 8];
                if nix::unistd::read(&*timer, &mut expirations).is_ok() {
                    ledger::tick(*number);
                }
            }
            Part::Pair(stream, inbox) => {
                for message in messages(stream) {
                    let answer = inbox.receive(message).to_le_bytes();
                    stream.write_all(&answer).expect("the sender reads");
                }
            }
            Part::Pipe(receiver, inbox, answers) => {
                for message in messages(receiver) {
                    ledger::answer(answers, inbox.receive(message));
                }
            }
        }
        if gone {
            // Its close removes it from epoll.
            self.parts.remove(&token);
        }
        for mut client in come {
            let token = self.add(&mut client);
            self.parts.insert(token, Part::Client(client));
        }
    }
}

/// Sends back what has come; true if the client is gone.
fn echo(client: &mut TcpStream) -> bool {
    let mut piece = [0; 256];
    loop {
        match client.read(&mut piece) {
            Ok(0) => return true,
            Ok(count) => {
                if client.write_all(&piece[..count]).is_err() {
                    return true;
                }
            }
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// All that have come. Each was written at once, so none is split.
fn messages(source: &mut impl Read) -> Vec<u64> {
    let mut messages = Vec::new();
    let mut bytes = [0; 8];
    loop {
        match source.read(&mut bytes) {
            // The sender has ended.
            Ok(0) => return messages,
            Ok(count) => assert_eq!(count, bytes.len(), "a part of a message"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return messages;
            }
        }
        messages.push(u64::from_le_bytes(bytes));
    }
}
