//! Guest: two tokio runtimes, each with as many workers as the argument says, or in one thread
//! for 0. The busy one has timers, an echo server, a channel and a pair of sockets; the quiet
//! one has a channel alone, so nothing but its waker ends its sleep.

mod ledger;

use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

fn main() {
    ledger::guard();
    let workers = std::env::args().nth(1).expect("how many workers");
    let workers: usize = workers.parse().expect("a number");
    let (busy, quiet) = (runtime(workers), runtime(workers));

    let listener = busy
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    busy.spawn(accept(listener));
    for timer in 0..ledger::PERIODS.len() {
        busy.spawn(tick(timer));
    }
    let (ours, theirs) = UnixStream::pair().expect("there are descriptors left");
    theirs.set_nonblocking(true).expect("it is a socket");
    busy.spawn(answer_by_socket(theirs));
    let senders = vec![
        channel(&busy),
        channel(&quiet),
        ledger::sender_by_socket(ours),
    ];

    let (stop, stopped) = watch::channel(false);
    let handle = busy.handle().clone();
    let drivers = [busy, quiet].map(|runtime| {
        let mut stopped = stopped.clone();
        // The runtime ends in the thread that drives it, which waits for its workers.
        thread::spawn(move || runtime.block_on(stopped.wait_for(|&stop| stop)).is_ok())
    });
    ledger::obey(port, || drop(handle.spawn(async { std::process::abort() })));
    ledger::end(senders);
    stop.send_replace(true);
    for driver in drivers {
        assert!(driver.join().expect("a panic ends the program"));
    }
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if workers > 0 {
        builder.worker_threads(workers);
    }
    let built = builder.enable_all().build();
    built.expect("threads are to be had")
}

async fn tick(timer: usize) {
    let mut interval = tokio::time::interval(ledger::PERIODS[timer]);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        ledger::tick(timer);
    }
}

/// A sender outside the runtime, and the task that answers it.
fn channel(runtime: &Runtime) -> thread::JoinHandle<()> {
    let (sender, receiver): (UnboundedSender<u64>, _) = unbounded_channel();
    let (answers, answered) = ledger::answers();
    runtime.spawn(answer_by_channel(receiver, answers));
    let send = move |message| sender.send(message).expect("the task lives");
    ledger::sender_by_channel(send, answered)
}

async fn answer_by_channel(mut messages: UnboundedReceiver<u64>, answers: SyncSender<u64>) {
    let mut inbox = ledger::Inbox::default();
    while let Some(message) = messages.recv().await {
        ledger::answer(&answers, inbox.receive(message));
    }
}

async fn answer_by_socket(theirs: UnixStream) {
    let mut stream = tokio::net::UnixStream::from_std(theirs).expect("the runtime has a driver");
    let mut inbox = ledger::Inbox::default();
    while let Ok(message) = stream.read_u64_le().await {
        let written = stream.write_u64_le(inbox.receive(message)).await;
        written.expect("the sender reads");
    }
}

async fn accept(listener: TcpListener) {
    loop {
        // A client may have hung up already.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
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
