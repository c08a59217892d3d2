//! How long a program is gone for when it is reverted, and how long the worst time is: many
//! reverts with 1 to 512 threads, on the machine as it is and on one with too much to do,
//! beside a raw `kill` and `wait` of the same program in the same rounds.
//!
//! `cargo bench -p snapshot-tests --bench reverts` prints the table. Behind `--`: `--rounds N`
//! (1,000), `--threads N,N,..`, `--only idle` or `--only loaded`, `--by kill`, `revert` or
//! `interrupt` (else each in turn).

#[path = "../measured/guest.rs"]
mod guest;
#[path = "../measured/itself.rs"]
mod itself;
#[path = "../measured/session.rs"]
mod session;

mod load;
mod wanted;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use guest::Guest;
use itself::Part;
use load::Load;
use session::{End, Session};
use snapshot_core::sys::now_ns;
use wanted::{Machine, Wanted};

/// Presses of Ctrl+C that are closer are one.
const BETWEEN_PRESSES: Duration = Duration::from_millis(110);

fn main() {
    match itself::part() {
        Part::Measured(case) => match Load::parse(&case) {
            Some(load) => load.run(),
            None => Guest::parse(&case).run(),
        },
        Part::Show => show(&Wanted::from_arguments()),
    }
}

fn show(wanted: &Wanted) {
    println!(
        "{} rounds; median, 99th percentile and the worst in milliseconds.\n\
         `reverted` is latency_us of the event, `first word` is seen from outside: from just\n\
         before the request until the program runs.\n",
        wanted.rounds
    );
    println!(
        "{:>7} {:>4}  {:>24}  {:>24}  {:>24}",
        "machine", "thr.", "raw kill + wait", "reverted", "first word"
    );
    for machine in &wanted.machines {
        let _load = matches!(machine, Machine::Loaded).then(load::begin);
        for &threads in &wanted.threads {
            let measured = Measured::of(threads, wanted);
            println!(
                "{machine:>7} {threads:>4}  {:>24}  {:>24}  {:>24}",
                tail(measured.raw),
                tail(measured.reverted),
                tail(measured.first_word)
            );
        }
    }
}

/// Nanoseconds of each round.
#[derive(Default)]
struct Measured {
    raw: Vec<u64>,
    reverted: Vec<u64>,
    first_word: Vec<u64>,
}

impl Measured {
    fn of(threads: usize, wanted: &Wanted) -> Self {
        let guest = Guest {
            threads,
            megabytes: 10,
            small_pages: false,
            shared_out: false,
            files: 0,
        };
        let mut session = Session::start(guest);
        let mut measured = Self::default();
        let ends = wanted.by.map_or_else(
            || vec![End::Kill, End::Revert, End::Interrupt],
            |by| vec![by],
        );
        for end in ends.iter().cycle().take(wanted.rounds) {
            session.take_by_itself();
            if matches!(end, End::Interrupt) {
                std::thread::sleep(BETWEEN_PRESSES);
            }
            let back = session.revert_by(*end);
            measured.reverted.push(back.latency_ns);
            measured.first_word.push(back.first_word_ns);
            measured.raw.push(raw_kill(guest));
        }
        measured
    }
}

/// The yardstick: the same program without the tool, killed and waited for.
fn raw_kill(guest: Guest) -> u64 {
    let mut program = itself::command(&guest.case(), false)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bench can run itself");
    let mut ready = String::new();
    let stdout = program.stdout.take().expect("it is a pipe");
    BufReader::new(stdout)
        .read_line(&mut ready)
        .expect("stdout is text");
    let begun = now_ns();
    program.kill().expect("it is our own child");
    program.wait().expect("it is our own child");
    now_ns() - begun
}

/// `0.71 / 1.20 / 3.51`
#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn tail(mut ns: Vec<u64>) -> String {
    ns.sort_unstable();
    let last = ns.len() - 1;
    let [middle, nearly_all, worst] =
        [last / 2, last * 99 / 100, last].map(|at| ns[at] as f64 / 1e6);
    format!("{middle:.2} / {nearly_all:.2} / {worst:.2}")
}
