//! Guest: smol. It has one reactor for the whole program, in a thread of its own, and
//! sleeps in epoll with a timerfd. Two threads run an executor with timers, an echo server, a
//! channel and a pair of sockets; a third waits for a channel by itself.

mod ledger;

use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use smol::channel::{Receiver, unbounded};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};
use smol::stream::StreamExt;
use smol::{Async, Executor, Timer};

static EXECUTOR: Executor<'static> = Executor::new();

/// How many threads run the executor.
const WORKERS: usize = 2;

fn main() {
    ledger::guard();
    let listener = smol::block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    EXECUTOR.spawn(accept(listener)).detach();
    for timer in 0..ledger::PERIODS.len() {
        EXECUTOR.spawn(tick(timer)).detach();
    }
    let (ours, theirs) = UnixStream::pair().expect("there are descriptors left");
    EXECUTOR.spawn(answer_by_socket(theirs)).detach();
    let (messages, answers, busy) = channel();
    EXECUTOR
        .spawn(answer_by_channel(messages, answers))
        .detach();
    let (messages, answers, alone) = channel();
    let alone_thread = thread::spawn(|| smol::block_on(answer_by_channel(messages, answers)));
    let senders = vec![busy, alone, ledger::sender_by_socket(ours)];

    let (stop, stopped) = unbounded::<()>();
    let workers: Vec<JoinHandle<()>> = (0..WORKERS)
        .map(|_| {
            let stopped = stopped.clone();
            // It ends when the other end is dropped.
            thread::spawn(move || {
                let over = EXECUTOR.run(stopped.recv());
                assert!(smol::block_on(over).is_err());
            })
        })
        .collect();
    ledger::obey(port, || {
        EXECUTOR.spawn(async { std::process::abort() }).detach();
    });
    ledger::end(senders);
    drop(stop);
    for thread in workers.into_iter().chain([alone_thread]) {
        thread.join().expect("a panic ends the program");
    }
}

async fn tick(timer: usize) {
    let mut interval = Timer::interval(ledger::PERIODS[timer]);
    while interval.next().await.is_some() {
        ledger::tick(timer);
    }
}

fn channel() -> (Receiver<u64>, SyncSender<u64>, JoinHandle<()>) {
    let (sender, messages) = unbounded();
    let (answers, answered) = ledger::answers();
    let send = move |message| sender.try_send(message).expect("the task lives");
    let thread = ledger::sender_by_channel(send, answered);
    (messages, answers, thread)
}

async fn answer_by_channel(messages: Receiver<u64>, answers: SyncSender<u64>) {
    let mut inbox = ledger::Inbox::default();
    while let Ok(message) = messages.recv().await {
        ledger::answer(&answers, inbox.receive(message));
    }
}

async fn answer_by_socket(theirs: UnixStream) {
    let mut stream = Async::new(theirs).expect("the reactor takes it");
    let mut inbox = ledger::Inbox::default();
    let mut bytes = [0; 8];
    while stream.read_exact(&mut bytes).await.is_ok() {
        let answer = inbox.receive(u64::from_le_bytes(bytes)).to_le_bytes();
        stream.write_all(&answer).await.expect("the sender reads");
    }
}

async fn accept(listener: TcpListener) {
    loop {
        // A client may have hung up already.
        if let Ok((stream, _)) = listener.accept().await {
            EXECUTOR.spawn(serve(stream)).detach();
        }
    }
}

async fn serve(mut stream: TcpStream) {
    let mut piece = [0; 256];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        if stream.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
