//! Writes beside and into a guarded file: a big one that is open for writing at a take. In
//! nanoseconds, the median and the 99th of a hundred.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use snapshot_core::commit;
use snapshot_core::sys::now_ns;

use crate::itself;
use crate::state;

/// Without the tool, with a snapshot and nothing guarded, with a guarded file.
const STATES: [&str; 3] = ["none", "unguarded", "guarded"];
const ROWS: [&str; 7] = [
    "write to another",
    "writev to another",
    "pwrite, touched",
    "write, touched",
    "append",
    "pwrite, first touch",
    "write, first touch",
];

const BLOCK: usize = 4096;
/// Writes to it are far apart, so that each is a first touch.
const STRIDE: u64 = 1 << 20;
const TOUCHES: u64 = 200;
/// Rewritten from front to back, in so many writes.
const SEQUENCE: u64 = 64 << 20;
const WRITES: u64 = SEQUENCE / 4096;
const SIZE: u64 = TOUCHES * STRIDE + SEQUENCE;
/// Short calls are measured together.
const AT_ONCE: u64 = 50;
const SAMPLES: u64 = 2000;

fn sample(times: u64, at_once: u64, mut act: impl FnMut()) -> [u64; 2] {
    let mut all: Vec<u64> = (0..times)
        .map(|_| {
            let begin = now_ns();
            for _ in 0..at_once {
                act();
            }
            (now_ns() - begin) / at_once
        })
        .collect();
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() * percent / 100).min(all.len() - 1)];
    [at(50), at(99)]
}

fn open(name: &str) -> File {
    let file = OpenOptions::new().read(true).write(true).open(name);
    file.expect("it is there")
}

fn fill(name: &str, size: u64) {
    let mut file = File::create(name).expect("the place is ours");
    for _ in 0..size >> 20 {
        file.write_all(&[7; 1 << 20]).expect("there is room");
    }
    // Else the disk is busy with it meanwhile.
    file.sync_all().expect("it is a file");
}

/// Prints a line: the two figures of each row.
pub fn measure(state: &str) {
    let _place = state::new_place();
    fill("big", SIZE);
    fill("appended", 2 << 20);
    let (mut big, mut appended) = (open("big"), open("appended"));
    let mut other = open("/dev/null");
    if state == "unguarded" {
        drop((big, appended));
        state::take();
        (big, appended) = (open("/dev/null"), open("/dev/null"));
    } else if state == "guarded" {
        state::take();
    }
    let block = [8; BLOCK];
    let mut row = Vec::new();
    row.extend(sample(SAMPLES, AT_ONCE, || {
        let written = other.write(&block[..100]);
        written.expect("it takes everything");
    }));
    let parts = [std::io::IoSlice::new(&block[..50]); 2];
    row.extend(sample(SAMPLES, AT_ONCE, || {
        let written = other.write_vectored(&parts);
        written.expect("it takes everything");
    }));
    if state == "unguarded" {
        row.resize(2 * ROWS.len(), 0);
    } else {
        big.write_all_at(&block, 0).expect("there is room");
        row.extend(sample(SAMPLES, AT_ONCE, || {
            big.write_all_at(&block, 0).expect("there is room");
        }));
        let mut at = 0;
        row.extend(sample(SAMPLES, 1, || {
            if at % 16 == 0 {
                big.seek(SeekFrom::Start(0)).expect("it is long");
            }
            at += 1;
            big.write_all(&block).expect("there is room");
        }));
        appended.seek(SeekFrom::End(0)).expect("it is a file");
        row.extend(sample(SAMPLES, 1, || {
            appended.write_all(&block).expect("there is room");
        }));
        let mut at = 0;
        row.extend(sample(TOUCHES, 1, || {
            // In no order.
            at = (at + 77) % TOUCHES;
            let written = big.write_all_at(&block, at * STRIDE + STRIDE / 2);
            written.expect("there is room");
        }));
        let begin = SeekFrom::Start(TOUCHES * STRIDE);
        big.seek(begin).expect("it is long");
        row.extend(sample(WRITES, 1, || {
            big.write_all(&block).expect("there is room");
        }));
    }
    if state != "none" {
        commit().expect("there is a snapshot");
    }
    let row: Vec<String> = row.iter().map(u64::to_string).collect();
    println!("{}", row.join(" "));
}

pub fn show() {
    println!("guarded: nanoseconds a write, the median and the 99th of a hundred\n");
    let rows: Vec<[u64; 2 * ROWS.len()]> = STATES
        .iter()
        .map(|state| itself::rows(&format!("guarded {state}"), *state != "none", 1)[0])
        .collect();
    print!("{:>22}", "");
    for state in STATES {
        print!(" {state:>22}");
    }
    println!();
    for (kind, name) in ROWS.iter().enumerate() {
        print!("{name:>22}");
        for row in &rows {
            let cell = match row[2 * kind] {
                0 => "-".to_owned(),
                median => format!("{median} {:>9}", row[2 * kind + 1]),
            };
            print!(" {cell:>22}");
        }
        println!();
    }
    println!();
}
