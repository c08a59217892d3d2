//! Single calls on files: what each takes at each depth, in nanoseconds.
//!
//! Ext4 gives no inode again for some seconds after it was freed, and looks for another for as long
//! as it takes. So what removes files comes last; a run on tmpfs is steadier.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use snapshot_core::sys::now_ns;

use crate::itself;
use crate::state::{self, STATES};

/// How many files each kind of call meets. Each is touched once, so each is a first touch.
const FILES: usize = 1000;
/// How often each case runs, in turn with the others.
const ROUNDS: usize = 9;

/// A kind of call, and what it does to file number `n`, or to an open file for the nth time.
type Call = (&'static str, fn(usize));
type HeldCall = (&'static str, fn(&File, u64));

fn old(kind: &str, number: usize) -> String {
    format!("{kind}{number}")
}

fn new(kind: &str, number: usize) -> String {
    format!("new-{kind}{number}")
}

/// The kinds that need a file which is there before the take have a name without `new`.
const CALLS: [Call; 16] = [
    ("create-new", |n| {
        File::create_new(new("file", n)).expect("it is not there");
    }),
    ("write-new", |n| {
        fs::write(new("file", n), [1; 4096]).expect("it is there");
    }),
    ("rename-new", |n| {
        fs::rename(new("file", n), new("moved", n)).expect("it is there");
    }),
    ("mkdir-new", |n| {
        fs::create_dir(new("directory", n)).expect("it is not there");
    }),
    ("rmdir-new", |n| {
        fs::remove_dir(new("directory", n)).expect("it is there");
    }),
    ("stat", |n| {
        fs::metadata(old("stat", n)).expect("it is there");
    }),
    ("open-to-read", |n| {
        File::open(old("open-to-read", n)).expect("it is there");
    }),
    ("open-to-write", |n| {
        let file = OpenOptions::new().write(true).open(old("open-to-write", n));
        file.expect("it is there");
    }),
    ("rewrite", |n| {
        fs::write(old("rewrite", n), [1; 4096]).expect("it is there");
    }),
    ("append", |n| {
        let file = OpenOptions::new().append(true).open(old("append", n));
        file.and_then(|mut file| file.write_all(&[1; 100]))
            .expect("it is there");
    }),
    ("pwrite", |n| {
        let file = OpenOptions::new().write(true).open(old("pwrite", n));
        file.and_then(|file| file.write_all_at(&[1; 100], 50))
            .expect("it is there");
    }),
    ("truncate", |n| {
        let file = OpenOptions::new().write(true).open(old("truncate", n));
        file.and_then(|file| file.set_len(10)).expect("it is there");
    }),
    ("chmod", |n| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(old("chmod", n), mode).expect("it is there");
    }),
    ("rename", |n| {
        fs::rename(old("rename", n), new("rename", n)).expect("it is there");
    }),
    ("unlink", |n| {
        fs::remove_file(old("unlink", n)).expect("it is there")
    }),
    ("unlink-new", |n| {
        fs::remove_file(new("moved", n)).expect("it is there");
    }),
];

/// Calls on one file that is open since before the take: the first touch is among many.
const HELD: [HeldCall; 2] = [
    ("held-append", |file, _| {
        let mut file = file;
        file.write_all(&[1; 100]).expect("there is room");
    }),
    ("held-pwrite", |file, n| {
        file.write_all_at(&[1; 100], n * 100)
            .expect("there is room");
    }),
];

/// How many kinds there are in all, and the calls on a held file.
const KINDS: usize = CALLS.len() + HELD.len();
const HELD_CALLS: u64 = 20_000;

/// Prints a line: nanoseconds a call, of each kind.
pub fn measure(state: &str) {
    let _place = state::new_place();
    for (kind, _) in CALLS.iter().filter(|(kind, _)| !kind.contains("new")) {
        for number in 0..FILES {
            fs::write(old(kind, number), [7; 4096]).expect("the place is ours");
        }
    }
    let held: Vec<File> = HELD
        .iter()
        .map(|(kind, _)| {
            fs::write(kind, vec![7; 4 << 20]).expect("the place is ours");
            let append = kind.contains("append");
            let file = OpenOptions::new().write(true).append(append).open(kind);
            file.expect("it is there")
        })
        .collect();
    state::enter(state);
    let mut row = Vec::new();
    for (_, call) in CALLS {
        let begin = now_ns();
        for number in 0..FILES {
            call(number);
        }
        row.push((now_ns() - begin) / u64::try_from(FILES).expect("a few"));
    }
    for ((_, call), file) in HELD.iter().zip(&held) {
        let begin = now_ns();
        for number in 0..HELD_CALLS {
            call(file, number);
        }
        row.push((now_ns() - begin) / HELD_CALLS);
    }
    state::leave(state);
    let row: Vec<String> = row.iter().map(u64::to_string).collect();
    println!("{}", row.join(" "));
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
pub fn show() {
    let mut rows: Vec<Vec<[u64; KINDS]>> = vec![Vec::new(); STATES.len()];
    for _ in 0..ROUNDS {
        for (state, rows) in STATES.iter().zip(&mut rows) {
            let launcher = state::needs_launcher(state);
            rows.extend(itself::rows::<KINDS>(
                &format!("calls {state}"),
                launcher,
                1,
            ));
        }
    }
    println!(
        "calls: nanoseconds each, the least of {ROUNDS} runs in turn, and the ratio to no tool;\n\
         {FILES} files of 4 KiB, each touched once; `new`: made after the take\n"
    );
    print!("{:>16}", "");
    for state in STATES {
        print!(" {state:>16}");
    }
    println!();
    let names = CALLS
        .iter()
        .map(|(name, _)| name)
        .chain(HELD.iter().map(|(name, _)| name));
    for (kind, name) in names.enumerate() {
        print!("{name:>16}");
        let least: Vec<u64> = rows
            .iter()
            .filter_map(|rows| rows.iter().map(|row| row[kind]).min())
            .collect();
        for one in &least {
            let ratio = *one as f64 / least[0].max(1) as f64;
            print!(" {:>16}", format!("{one} ({ratio:.2})"));
        }
        println!();
    }
    println!();
}
