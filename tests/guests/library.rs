//! Guest: a program that calls the library. `library SCENE` plays one scene and prints a line
//! for each step; the same scenes run under the launcher and alone.
#![expect(unsafe_code, reason = "buffers output in C's stdio, and forks")]

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use snapshot_core::{
    Arrival, Snapshot, SnapshotError, commit, depth, drop_snapshot, install_handlers,
    is_in_snapshot, list, revert, revert_to, rollback, snapshot,
};

fn main() -> Result<(), SnapshotError> {
    let scene = std::env::args().nth(1).unwrap_or_default();
    match scene.as_str() {
        "back" => back(),
        "buffered" => buffered(),
        "nested" => nested(),
        "innermost" => innermost(),
        "crash" => end_by(|| std::process::abort()),
        "exit" => end_by(|| std::process::exit(5)),
        "panic" => end_by(|| panic!("told to panic")),
        "commit" => committed(),
        "drop" => dropped(),
        "none" => none(),
        "threads" => threads(),
        "crowd" => crowd(),
        "forked" => forked(),
        "label" => label(),
        "again" => again(),
        "handlers" => handlers(),
        "hang_up" => hang_up(),
        "hang_up_meanwhile" => hang_up_meanwhile(),
        other => {
            eprintln!("there is no scene {other:?}");
            std::process::exit(2);
        }
    }
}

/// The dead branch's heap is gone.
fn back() -> Result<(), SnapshotError> {
    println!(
        "begin {:?} depth {} {}",
        rollback(),
        depth(),
        is_in_snapshot()
    );
    let mut memory = vec!["first".to_owned()];
    match snapshot()? {
        Arrival::Live(id) => {
            println!("live {id} depth {} {}", depth(), is_in_snapshot());
            memory.push("second".to_owned());
            println!("memory {memory:?}");
            println!("came back with {:?}", revert());
        }
        Arrival::Reverted(report) => {
            println!("back at {}: the branch {}", report.id, report.ended);
            println!("promised {:?}", report.rollback);
            println!("memory {memory:?}");
            println!("end depth {} {}", depth(), is_in_snapshot());
        }
    }
    Ok(())
}

/// Bytes buffered at the take are printed once, although two branches go on from there.
fn buffered() -> Result<(), SnapshotError> {
    print!("rust-buffer ");
    // SAFETY: a NUL-terminated format without conversions.
    unsafe { libc::printf(c"c-buffer ".as_ptr()) };
    if let Arrival::Live(_) = snapshot()? {
        revert()?;
    }
    println!("end");
    Ok(())
}

/// Three snapshots deep, straight back to the first.
fn nested() -> Result<(), SnapshotError> {
    let mut way = Vec::new();
    for level in 1..=3 {
        match snapshot()? {
            Arrival::Live(id) => {
                way.push(level);
                println!("live {id} depth {} of {}", depth(), numbers());
            }
            Arrival::Reverted(report) => {
                println!("back at {} with {way:?} of {}", report.id, numbers());
                println!("end depth {}", depth());
                return Ok(());
            }
        }
    }
    let first = list()?.swap_remove(0);
    revert_to(first.id)?;
    Ok(())
}

/// Each revert goes to the newest, and each snapshot serves once.
fn innermost() -> Result<(), SnapshotError> {
    for _ in 0..3 {
        if let Arrival::Reverted(report) = snapshot()? {
            println!("back at {} of {}", report.id, numbers());
            break;
        }
    }
    if depth() > 0 {
        revert()?;
    }
    println!("end depth {}", depth());
    Ok(())
}

fn end_by(end: impl FnOnce()) -> Result<(), SnapshotError> {
    let mut memory = Box::new(1);
    match snapshot()? {
        Arrival::Live(_) => {
            *memory = 2;
            std::hint::black_box(&memory);
            end();
        }
        Arrival::Reverted(report) => {
            println!("the branch {}; memory {memory}", report.ended);
            println!("end depth {}", depth());
        }
    }
    Ok(())
}

fn committed() -> Result<(), SnapshotError> {
    for _ in 0..2 {
        if let Arrival::Reverted(_) = snapshot()? {
            println!("a committed snapshot came back");
            return Ok(());
        }
    }
    println!("before depth {}", depth());
    commit()?;
    println!("after depth {} {}", depth(), is_in_snapshot());
    println!("revert says {:?}", revert());
    Ok(())
}

fn dropped() -> Result<(), SnapshotError> {
    for _ in 0..3 {
        if let Arrival::Reverted(report) = snapshot()? {
            println!("back at {} of {}", report.id, numbers());
            return Ok(());
        }
    }
    let ids = list()?;
    drop_snapshot(ids[2].id)?;
    drop_snapshot(ids[0].id)?;
    println!("left {} depth {}", numbers(), depth());
    println!("again {:?}", drop_snapshot(ids[0].id));
    println!("gone {:?}", revert_to(ids[2].id));
    revert()?;
    Ok(())
}

fn none() -> Result<(), SnapshotError> {
    println!("revert says {:?}", revert());
    println!("depth {} of {}", depth(), numbers());
    commit()?;
    println!("commit is content");
    Ok(())
}

/// A thread that counts on request, and takes a snapshot on request.
struct Worker {
    orders: std::sync::mpsc::Sender<Order>,
    answers: std::sync::mpsc::Receiver<String>,
}

enum Order {
    Count,
    Snapshot,
}

impl Worker {
    fn start() -> Self {
        let (orders, received) = std::sync::mpsc::channel();
        let (answer, answers) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut count = 0;
            for order in received {
                let text = match order {
                    Order::Count => {
                        count += 1;
                        count.to_string()
                    }
                    Order::Snapshot => match snapshot() {
                        Ok(Arrival::Live(id)) => format!("live {id} at {count}"),
                        Ok(Arrival::Reverted(report)) => {
                            format!("back at {} at {count}", report.id)
                        }
                        Err(error) => format!("{error:?}"),
                    },
                };
                if answer.send(text).is_err() {
                    return;
                }
            }
        });
        Self { orders, answers }
    }

    fn ask(&self, order: Order) -> String {
        self.orders.send(order).expect("the worker listens");
        self.answers.recv().expect("the worker answers")
    }
}

/// Every thread comes back, whichever of them takes the snapshot.
fn threads() -> Result<(), SnapshotError> {
    let worker = Worker::start();
    println!("count {}", worker.ask(Order::Count));
    match snapshot()? {
        Arrival::Live(id) => {
            println!("live {id} count {}", worker.ask(Order::Count));
            println!("live {id} count {}", worker.ask(Order::Count));
            let error = revert();
            println!("{error:?}");
        }
        Arrival::Reverted(report) => {
            println!("back at {} count {}", report.id, worker.ask(Order::Count));
        }
    }
    let answer = worker.ask(Order::Snapshot);
    println!("worker {answer}");
    if answer.starts_with("live") {
        println!("worker count {}", worker.ask(Order::Count));
        let error = revert();
        println!("{error:?}");
    }
    println!("count {}", worker.ask(Order::Count));
    Ok(())
}

/// The counts of eight threads, each its own and all together; the sums agree whenever the lock
/// is free.
#[derive(Default)]
struct Ledger {
    each: [u64; 8],
    all: u64,
    over: bool,
}

/// Fifty takes and reverts by any of the threads, which never stop.
fn crowd() -> Result<(), SnapshotError> {
    let shared = std::sync::Arc::new((
        std::sync::Mutex::new(Ledger::default()),
        std::sync::Condvar::new(),
    ));
    let threads: Vec<_> = (0..8)
        .map(|own: usize| {
            let shared = std::sync::Arc::clone(&shared);
            std::thread::spawn(move || {
                loop {
                    let mut ledger = shared.0.lock().expect("nobody panics");
                    if ledger.over {
                        return ledger.each[own];
                    }
                    ledger.each[own] += 1;
                    ledger.all += 1;
                    shared.1.notify_all();
                    drop(ledger);
                    // Some memory of its own, and a call with a time limit.
                    let block = vec![own; 100 + own];
                    assert_eq!(block.iter().sum::<usize>(), own * (100 + own));
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            })
        })
        .collect();
    let worked = |more: u64| {
        let ledger = shared.0.lock().expect("nobody panics");
        let until = ledger.all + more;
        let ledger = shared
            .1
            .wait_while(ledger, |ledger| ledger.all < until)
            .expect("nobody panics");
        assert_eq!(
            ledger.each.iter().sum::<u64>(),
            ledger.all,
            "the sums agree"
        );
    };
    for round in 0..50 {
        worked(20);
        let mut undone = false;
        let arrival = if round % 2 == 0 {
            snapshot()?
        } else {
            std::thread::spawn(snapshot)
                .join()
                .expect("nobody panics")?
        };
        assert!(!std::hint::black_box(undone), "the branch's write is there");
        if let Arrival::Live(_) = arrival {
            worked(50);
            undone = std::hint::black_box(true);
            let error = revert();
            println!("{error:?} {undone}");
        }
    }
    shared.0.lock().expect("nobody panics").over = true;
    let mut sum = 0;
    for thread in threads {
        sum += thread.join().expect("nobody panics");
    }
    let all = shared.0.lock().expect("nobody panics").all;
    println!(
        "end after fifty, {}",
        if sum == all {
            "and the sums agree"
        } else {
            "and they don't"
        }
    );
    Ok(())
}

/// A child of the program is not the live process.
fn forked() -> Result<(), SnapshotError> {
    if let Arrival::Reverted(_) = snapshot()? {
        println!("the child reverted its parent");
        return Ok(());
    }
    // SAFETY: this program has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        println!("child: {:?}", snapshot());
        println!("child: {:?}", revert());
        // SAFETY: ends the child without its parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: waits for the child; no status is asked for.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    println!("parent depth {}", depth());
    commit()?;
    Ok(())
}

fn label() -> Result<(), SnapshotError> {
    if let Arrival::Live(id) = Snapshot::take().label("before the merge").now()? {
        println!("live {id}");
        commit()?;
    }
    Ok(())
}

/// A hundred takes and reverts.
fn again() -> Result<(), SnapshotError> {
    for round in 1..=100_u32 {
        if let Arrival::Live(id) = snapshot()? {
            assert_eq!(id.number(), round, "numbers are never used twice");
            revert()?;
        }
        assert_eq!(depth(), 0, "each snapshot served once");
    }
    println!("end after a hundred");
    Ok(())
}

/// The same by signals, as under a launcher.
fn handlers() -> Result<(), SnapshotError> {
    install_handlers()?;
    for count in 1_u32.. {
        println!("count {count} {} depth {}", std::process::id(), depth());
        let _ = std::io::stdout().flush();
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Ten connections that are closed as soon as a branch is back. A closed one is on no interest
/// list any more, although copies have had it too.
fn hang_up() -> Result<(), SnapshotError> {
    let watched = Epoll::new(EpollCreateFlags::empty()).expect("epoll is to be had");
    for _ in 0..10 {
        let connection = watched_connection(&watched);
        if let Arrival::Live(_) = snapshot()? {
            revert()?;
        }
        close_for_good(connection, &watched);
    }
    println!("end after ten");
    Ok(())
}

/// Sixty connections that are closed while another thread takes one snapshot after the other.
fn hang_up_meanwhile() -> Result<(), SnapshotError> {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let watched = Epoll::new(EpollCreateFlags::empty()).expect("epoll is to be had");
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let taker = std::thread::spawn(|| {
        while !IS_OVER.load(Ordering::SeqCst) {
            if let Ok(Arrival::Live(id)) = snapshot() {
                TAKEN.fetch_add(1, Ordering::SeqCst);
                drop_snapshot(id).expect("it is there");
            }
        }
    });
    for _ in 0..60 {
        let connection = watched_connection(&watched);
        let before = TAKEN.load(Ordering::SeqCst);
        // A snapshot has it too, or had it a moment ago.
        while TAKEN.load(Ordering::SeqCst) < before + 2 {
            std::hint::spin_loop();
        }
        close_for_good(connection, &watched);
    }
    IS_OVER.store(true, Ordering::SeqCst);
    taker.join().expect("it does not panic");
    println!("end after sixty");
    Ok(())
}

/// A connection with something to read.
fn watched_connection(watched: &Epoll) -> TcpStream {
    let server = std::env::args().nth(2).unwrap_or_default();
    let connection = TcpStream::connect(server).expect("the server listens");
    let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    watched.add(&connection, event).expect("it can be watched");
    // The server sends first.
    while watched.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE) != Ok(1) {}
    connection
}

fn close_for_good(connection: TcpStream, watched: &Epoll) {
    drop(connection);
    let count = watched.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
    assert_eq!(count, Ok(0), "what is closed is told of");
}

fn numbers() -> String {
    match list() {
        Ok(ids) => format!(
            "{:?}",
            ids.iter().map(|of| of.id.number()).collect::<Vec<_>>()
        ),
        Err(error) => error.to_string(),
    }
}
