//! Guest: a pipeline of five threads, linked by the standard library's channels and by a queue
//! of a mutex and two condition variables. Every stage checks that the items come in order and
//! complete, so a lost wake-up, a lost item and a repeated one are all noticed.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many items fit between two stages.
const BETWEEN: usize = 8;

/// How long an answer may take: less than a test waits for a line.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause between two looks at a queue without a wake-up.
const GLANCE: Duration = Duration::from_millis(50);

/// An item. Its value is computed on the way, its label comes from a command.
struct Item {
    number: u64,
    value: u64,
    label: Option<String>,
}

/// The queue between the third and the fourth stage.
#[derive(Default)]
struct Queue {
    items: Mutex<(VecDeque<Item>, bool)>,
    not_full: Condvar,
    not_empty: Condvar,
}

/// What has arrived.
#[derive(Default)]
struct Ledger {
    count: u64,
    sum: u64,
    labels: Vec<String>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    fail: AtomicBool,
    label: Mutex<Option<String>>,
    queue: Queue,
    ledger: Mutex<Ledger>,
    arrived: Condvar,
}

fn main() -> ExitCode {
    let shared = Arc::new(Shared::default());
    let stages = start(&shared);
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["label", label] => {
                *shared.label.lock().expect("no stage has failed") = Some(label.to_owned());
                // Only items that have come through every stage count.
                let arrived = wait(&shared, |ledger| {
                    ledger.labels.last().is_some_and(|last| last == label)
                });
                println!("{}", if arrived { "ok" } else { "err it never came" });
            }
            ["labels"] => {
                let ledger = shared.ledger.lock().expect("no stage has failed");
                println!("ok {}", ledger.labels.join(" "));
            }
            ["advance"] => {
                let until = shared.ledger.lock().expect("no stage has failed").count + 500;
                let arrived = wait(&shared, |ledger| ledger.count >= until);
                println!("{}", if arrived { "ok" } else { "err it stands still" });
            }
            ["fail"] => {
                shared.fail.store(true, Ordering::Relaxed);
                return finish(&shared, stages);
            }
            _ => println!("err unknown command {line:?}"),
        }
    }
    finish(&shared, stages)
}

/// Waits until the ledger is as wanted; false if that takes too long.
fn wait(shared: &Shared, condition: impl Fn(&Ledger) -> bool) -> bool {
    let ledger = shared.ledger.lock().expect("no stage has failed");
    let (_ledger, result) = shared
        .arrived
        .wait_timeout_while(ledger, PATIENCE, |ledger| !condition(ledger))
        .expect("no stage has failed");
    !result.timed_out()
}

/// Lets everything flow out, and reports what has arrived. Status 101 if a stage failed.
fn finish(shared: &Shared, stages: Vec<JoinHandle<()>>) -> ExitCode {
    shared.stop.store(true, Ordering::Relaxed);
    let mut failed = false;
    for stage in stages {
        failed |= stage.join().is_err();
    }
    if failed {
        return ExitCode::from(101);
    }
    let ledger = shared.ledger.lock().expect("no stage has failed");
    println!(
        "end {} {} {}",
        ledger.count,
        ledger.sum,
        ledger.labels.join(",")
    );
    ExitCode::from(2)
}

fn start(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let (first, second) = (sync_channel(BETWEEN), sync_channel(BETWEEN));
    // The last channel has no room: giver and taker meet.
    let last = sync_channel(0);
    let stage = |name: &str, work: Box<dyn FnOnce(&Shared) + Send>| {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&shared))
            .expect("threads are to be had")
    };
    vec![
        stage("source", Box::new(move |shared| source(shared, &first.0))),
        stage("triple", Box::new(move |_| triple(&first.1, &second.0))),
        stage("push", Box::new(move |shared| push(shared, &second.1))),
        stage("pop", Box::new(move |shared| pop(shared, &last.0))),
        stage("sink", Box::new(move |shared| sink(shared, &last.1))),
    ]
}

fn source(shared: &Shared, next: &SyncSender<Item>) {
    for number in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let label = shared.label.lock().expect("no stage has failed").take();
        let item = Item {
            number,
            value: number,
            label,
        };
        if next.send(item).is_err() {
            break;
        }
    }
}

fn triple(from: &Receiver<Item>, next: &SyncSender<Item>) {
    for (number, mut item) in (0..).zip(from) {
        assert_eq!(item.number, number, "between source and triple");
        item.value = item.value.wrapping_mul(3);
        if next.send(item).is_err() {
            break;
        }
    }
}

fn push(shared: &Shared, from: &Receiver<Item>) {
    let queue = &shared.queue;
    for (number, mut item) in (0..).zip(from) {
        assert_eq!(item.number, number, "between triple and push");
        item.value = item.value.wrapping_add(7);
        let items = queue.items.lock().expect("no stage has failed");
        // It fails with the lock held, like the worst bugs, and fails the others too.
        assert!(!shared.fail.load(Ordering::Relaxed), "told to fail");
        let mut items = queue
            .not_full
            .wait_while(items, |(items, _)| items.len() == BETWEEN)
            .expect("no stage has failed");
        items.0.push_back(item);
        queue.not_empty.notify_one();
    }
    queue.items.lock().expect("no stage has failed").1 = true;
    queue.not_empty.notify_one();
}

fn pop(shared: &Shared, next: &SyncSender<Item>) {
    let queue = &shared.queue;
    for number in 0.. {
        let mut items = queue.items.lock().expect("no stage has failed");
        let begin = Instant::now();
        // With a timeout, since that is another system call than without. A short one: a stage
        // that fails with the lock held wakes no other stage.
        while items.0.is_empty() && !items.1 && begin.elapsed() < PATIENCE {
            (items, _) = queue
                .not_empty
                .wait_timeout(items, GLANCE)
                .expect("no stage has failed");
        }
        let Some(item) = items.0.pop_front() else {
            assert!(items.1, "nothing came");
            break;
        };
        queue.not_full.notify_one();
        drop(items);
        assert_eq!(item.number, number, "between push and pop");
        if next.send(item).is_err() {
            break;
        }
    }
}

fn sink(shared: &Shared, from: &Receiver<Item>) {
    for (number, item) in (0..).zip(from) {
        assert_eq!(item.number, number, "between pop and sink");
        let mut ledger = shared.ledger.lock().expect("no stage has failed");
        ledger.count += 1;
        ledger.sum = ledger.sum.wrapping_add(item.value);
        ledger.labels.extend(item.label);
        shared.arrived.notify_all();
    }
}
