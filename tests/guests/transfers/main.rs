//! Guest: large transfers. Without the tool a single call moves all the bytes. One thread makes
//! the call, and another one reads or writes slowly at the other end.
//!
//! `start KIND` transfers a megabyte again and again. `stop` ends that after the present
//! transfer and answers `TRANSFERS SHORT WRONG`: the number of transfers, of calls that
//! returned a part, and of wrong bytes. `count` gives the number of transfers so far.
//!
//! `due KIND` makes a call that nobody reads from, says `blocked`, and answers
//! `MOVED WAITING HANDLED AGAIN`: the call's result, the unread bytes at the other end, how
//! often SIGURG's handler ran, and how often the guest had to send the signal again.
//!
//! `hold KIND` makes such a call and says `blocked`. Then `let` reads everything and answers
//! `MOVED WRONG`. `close` closes the other end, and `reset` resets the connection: either
//! answers whether the call has moved a part, and the errors of two more calls.
//!
//! `transfers alone KIND` does it without another thread, `FEW` times, into another process,
//! and then says `done SHORT`.
#![expect(unsafe_code, reason = "makes calls as a C program makes them")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of a megabyte, as C counts them"
)]

mod alone;
mod bytes;
mod channel;
mod gets;
mod gives;
mod held;
mod kind;
mod parts;
mod steady;

use std::sync::atomic::Ordering;

use alone::{alone, read_to_the_end};
use bytes::megabyte;
use held::{DUE, close, due, hold, interrupting, let_go, mask_due};
use kind::kind;
use steady::{start, stop};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["alone", name] => {
            alone(kind(name).expect("a kind"));
            return;
        }
        ["read"] => {
            read_to_the_end();
            return;
        }
        _ => {}
    }
    interrupting(DUE, 0);
    mask_due(libc::SIG_BLOCK);
    // SAFETY: takes numbers.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    megabyte();
    let mut running = None;
    let mut held = None;
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match *words {
            ["start", name] => kind(name).map(|kind| {
                running = Some(start(kind));
                String::new()
            }),
            ["count"] => running
                .as_ref()
                .map(|running| running.tally.transfers.load(Ordering::Relaxed).to_string()),
            ["stop"] => running.take().map(stop),
            ["due", name] => kind(name).and_then(due),
            ["hold", name] => kind(name).and_then(hold).map(|call| {
                held = Some(call);
                "blocked".into()
            }),
            ["let"] => held.take().map(let_go),
            ["close"] => held.take().map(|held| close(held, false)),
            ["reset"] => held.take().map(|held| close(held, true)),
            _ => None,
        };
        match answer {
            Some(answer) => println!("ok {answer}"),
            None => println!("err {line}"),
        }
    }
}
