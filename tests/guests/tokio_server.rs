//! Guest: a server on tokio's runtime with several workers. It prints `ready PORT` and serves a
//! counter over TCP, one request a line (`add N`, `get`, `echo TEXT`), while intervals tick. On
//! stdin it answers what only the server itself can know.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

type Answer = Result<String, Box<dyn std::error::Error>>;

const WORKERS: usize = 4;

/// Three that never fall on the same moment for long.
const PERIODS: [Duration; 3] = [
    Duration::from_millis(5),
    Duration::from_millis(7),
    Duration::from_millis(11),
];

/// How long an answer may take: less than a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(15);

// Relaxed: the numbers are independent.
#[derive(Default)]
struct Server {
    counter: AtomicI64,
    /// Bytes of requests, whole or not.
    received: AtomicUsize,
    ticks: [AtomicU64; PERIODS.len()],
}

fn main() -> ExitCode {
    let number = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name_fn(move || format!("worker-{}", number.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build()
        .expect("threads are to be had");
    let server = Arc::new(Server::default());
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("the loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    runtime.spawn(accept(listener, Arc::clone(&server)));
    for index in 0..PERIODS.len() {
        runtime.spawn(tick(index, Arc::clone(&server)));
    }
    println!("ready {port}");

    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match obey(&words, &server, runtime.handle()) {
            Ok(answer) => println!("ok {answer}"),
            Err(why) => println!("err {why}"),
        }
    }
    // It waits for every worker, so a lost worker shows as a hang.
    drop(runtime);
    println!("total {}", server.counter.load(Ordering::Relaxed));
    ExitCode::SUCCESS
}

fn obey(words: &[&str], server: &Arc<Server>, runtime: &Handle) -> Answer {
    match *words {
        ["counter"] => Ok(server.counter.load(Ordering::Relaxed).to_string()),
        ["received"] => Ok(server.received.load(Ordering::Relaxed).to_string()),
        ["tick", times] => ticks(server, times.parse()?),
        ["workers"] => workers(runtime),
        ["crash"] => {
            runtime.spawn(async { std::process::abort() });
            // The answer is the end of this process.
            std::thread::sleep(PATIENCE);
            Err("a worker was to abort".into())
        }
        _ => Err(format!("unknown command {words:?}").into()),
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&server)));
    }
}

async fn serve(mut stream: TcpStream, server: Arc<Server>) {
    let mut pending = Vec::new();
    let mut piece = [0; 256];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        pending.extend_from_slice(&piece[..count]);
        server.received.fetch_add(count, Ordering::Relaxed);
        while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let answer = server.answer(String::from_utf8_lossy(&line).trim_end());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

impl Server {
    fn answer(&self, line: &str) -> String {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("add", number) => {
                let number: i64 = number.parse().unwrap_or(0);
                let former = self.counter.fetch_add(number, Ordering::Relaxed);
                format!("{}\n", former + number)
            }
            ("get", "") => format!("{}\n", self.counter.load(Ordering::Relaxed)),
            ("echo", text) => format!("{text}\n"),
            _ => format!("unknown request {line:?}\n"),
        }
    }
}

async fn tick(index: usize, server: Arc<Server>) {
    let mut interval = tokio::time::interval(PERIODS[index]);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        server.ticks[index].fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until every interval has ticked this often from now on.
fn ticks(server: &Server, times: u64) -> Answer {
    let begin = Instant::now();
    for ticks in &server.ticks {
        let until = ticks.load(Ordering::Relaxed) + times;
        while ticks.load(Ordering::Relaxed) < until {
            if begin.elapsed() > PATIENCE {
                return Err("an interval does not tick".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(String::new())
}

/// Runs as many tasks as there are workers. They wait for each other, each blocking its worker,
/// so all workers must run. Returns the workers' names.
fn workers(runtime: &Handle) -> Answer {
    let barrier = Arc::new(Barrier::new(WORKERS));
    let (sender, names) = mpsc::channel();
    for _ in 0..WORKERS {
        let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
        runtime.spawn(async move {
            barrier.wait();
            let name = std::thread::current().name().map(str::to_owned);
            // The receiver is gone if the command has given up.
            let _ = sender.send(name.unwrap_or_default());
        });
    }
    let mut found = Vec::new();
    for _ in 0..WORKERS {
        let name = names.recv_timeout(PATIENCE);
        found.push(name.map_err(|_| format!("only {found:?} run"))?);
    }
    found.sort();
    Ok(found.join(" "))
}
