//! Guest: a thread in every blocking call there is. Each records when its call began, its
//! result and how long it took; the main thread obeys commands on stdin.
//!
//! `restarts SEMAPHORES EMPTY_QUEUE FULL_QUEUE`: the caller makes these System V objects, and
//! removes them, since the kernel never does.
//!
//! `ready` waits until every thread is blocked in its call, `settle` until every call with a
//! time limit has returned, `release` lets the others go, `report` prints a line `row NAME
//! UNTIL EXPECTED GOT MILLISECONDS` for each. `due KIND` blocks one more thread in a call that
//! SIGURG interrupts, says `blocked`, and answers `GOT HANDLED AGAIN`: the result, how often
//! the handler ran, and how often the guest had to send the signal again.
#![expect(unsafe_code, reason = "blocks in calls as a C program makes them")]

mod act;
mod calls;
mod due;
mod note;
mod outcome;
mod pipes;
mod running;
mod signals;
mod table;
mod time;

use std::sync::atomic::Ordering;

use act::Given;
use due::{DUE, due};
use running::{Running, start, wait_for};
use signals::interrupting;
use time::{look, now};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut id = || -> i32 {
        let text = arguments.next().expect("usage: see the source");
        text.parse().expect("the id of a System V object")
    };
    let given = Given {
        semaphores: id(),
        empty_queue: id(),
        full_queue: id(),
    };
    interrupting(DUE);
    let mut rows = start(&given);
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["ready"] if look(|| rows.iter().all(|row| row.note.is_blocked())) => {
                let first = rows
                    .iter()
                    .map(|row| row.note.begun.load(Ordering::Acquire));
                let age = now() - first.min().unwrap_or(0);
                println!("ok {} {}", rows.len(), age / 1_000_000);
            }
            ["settle"] if wait_for(&rows, |row| !row.endless) => println!("ok"),
            ["release"] => {
                for row in &mut rows {
                    if let Some(release) = row.release.take() {
                        release();
                    }
                }
                // The report names those that are not.
                wait_for(&rows, |_| true);
                println!("ok");
            }
            ["report"] => {
                rows.iter().for_each(Running::report);
                println!("ok {}", rows.len());
            }
            ["due", kind] => match due(kind) {
                Some(seen) => println!("ok {seen}"),
                None => println!("err {line}"),
            },
            // The report names those that did not end.
            ["ready" | "settle"] => println!("ok never"),
            _ => println!("err {line}"),
        }
    }
}
