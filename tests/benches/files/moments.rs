//! A take with files that are open for writing, and a revert by how much the branch has changed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use snapshot_core::sys::now_ns;
use snapshot_core::{Arrival, commit, revert, snapshot};

use crate::itself;
use crate::state;

/// How many takes or reverts a case has.
const ROUNDS: usize = 11;
const ROUNDS_OF_LARGE: usize = 3;

const KIB: usize = 1 << 10;
const GIB: usize = 1 << 30;

/// So many files of so many bytes.
const TAKES: [(usize, usize); 6] = [
    (0, 0),
    (10, 4 * KIB),
    (1000, 4 * KIB),
    (1, GIB / 4),
    (1, GIB),
    (1, 10 * GIB),
];
const REVERTS: [(usize, usize); 5] = [
    (0, 0),
    (10, 4 * KIB),
    (1000, 4 * KIB),
    (10_000, 4 * KIB),
    (1, GIB),
];

fn rounds(bytes: usize) -> usize {
    if bytes > GIB / 8 {
        ROUNDS_OF_LARGE
    } else {
        ROUNDS
    }
}

/// Of a larger file the rest is a hole.
const MOST_WRITTEN: usize = GIB;

/// Writes a file of that many bytes.
fn fill(file: &mut File, bytes: usize, byte: u8) {
    let block = vec![byte; bytes.min(1 << 20)];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len());
        file.write_all(&block[..part]).expect("there is room");
        left -= part;
    }
}

fn make_files(files: usize, bytes: usize) -> Vec<String> {
    let names: Vec<String> = (0..files).map(|number| format!("file{number}")).collect();
    for name in &names {
        let mut file = File::create(name).expect("the place is ours");
        fill(&mut file, bytes.min(MOST_WRITTEN), 7);
        file.set_len(u64::try_from(bytes).expect("it fits"))
            .expect("there is room");
    }
    names
}

/// Takes with all files open for writing, a line of nanoseconds each.
pub fn measure_take(files: &str, bytes: &str) {
    let (files, bytes) = (number(files), number(bytes));
    let _place = state::new_place();
    let _open: Vec<File> = make_files(files, bytes)
        .iter()
        .map(|name| {
            let file = OpenOptions::new().read(true).write(true).open(name);
            file.expect("it was just made")
        })
        .collect();
    for _ in 0..rounds(bytes) {
        let begin = now_ns();
        match snapshot().expect("a program like this can be taken") {
            Arrival::Live(_) => println!("{}", now_ns() - begin),
            Arrival::Reverted(report) => panic!("nobody reverts it: {report:?}"),
        }
        commit().expect("there is a snapshot");
    }
}

/// Rewrites all files and reverts. The branch prints when it asks for that; whoever comes back
/// prints when.
pub fn measure_revert(files: &str, bytes: &str) {
    let (files, bytes) = (number(files), number(bytes));
    let _place = state::new_place();
    let names = make_files(files, bytes);
    for _ in 0..rounds(bytes) {
        match snapshot().expect("a program like this can be taken") {
            Arrival::Live(_) => {
                for name in &names {
                    let file = OpenOptions::new().write(true).open(name);
                    fill(&mut file.expect("it is there"), bytes, 8);
                }
                println!("begin {}", now_ns());
                let error = revert();
                panic!("{error:?}");
            }
            Arrival::Reverted(_) => println!("end {}", now_ns()),
        }
        if let Some(name) = names.first() {
            let first = fs::read(name).expect("it is there")[0];
            println!("{}", if first == 7 { "back" } else { "not back" });
        }
    }
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

pub fn show_takes() {
    println!("takes with files open for writing: milliseconds, the first and the median\n");
    for (files, bytes) in TAKES {
        let rows = itself::rows::<1>(&format!("take {files} {bytes}"), true, rounds(bytes));
        let first = rows[0][0];
        let all = rows.into_iter().map(|[time]| time).collect();
        println!(
            "{files:>8} files of {:>12}  {:>8} {:>8}",
            size(bytes),
            milliseconds(first),
            milliseconds(itself::quarters(all)[1])
        );
    }
    println!();
}

pub fn show_reverts() {
    println!("reverts by what the branch has rewritten: milliseconds, the median\n");
    for (files, bytes) in REVERTS {
        let text = itself::run(&format!("revert {files} {bytes}"), true);
        let moment = |name: &'static str| {
            text.lines()
                .filter_map(move |line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        let times: Vec<u64> = moment("begin ")
            .zip(moment("end "))
            .map(|(begin, end)| end - begin)
            .collect();
        assert_eq!(times.len(), rounds(bytes), "{text}");
        let note = if text.contains("not back") {
            "  THE FILES ARE NOT BACK"
        } else {
            ""
        };
        println!(
            "{files:>8} files of {:>12}  {:>8}{note}",
            size(bytes),
            milliseconds(itself::quarters(times)[1])
        );
    }
    println!();
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.2}", nanoseconds as f64 / 1e6)
}
