//! Whole programs at each depth: git, tar, SQLite, cargo, Python's compiler.

use std::process::{Command, Stdio};

use snapshot_core::sys::now_ns;

use crate::itself;
use crate::state::{self, STATES};

/// How often each case runs, in turn with the others.
const ROUNDS: usize = 5;

/// A program, what it needs before the take, and what is measured.
struct Work {
    name: &'static str,
    program: &'static str,
    prepare: &'static str,
    script: &'static str,
}

const WORKS: [Work; 7] = [
    Work {
        name: "git",
        program: "git",
        prepare: "git init -q -b main . && git config user.name x && git config user.email x@x && \
            git config gc.auto 0 && for n in $(seq 200); do echo $n >f$n; done && git add -A && \
            git commit -q -m first",
        script: "for n in 1 2 3 4 5 6 7 8 9 10; do echo $n >>f$n; git commit -q -a -m $n; done; \
            git gc -q",
    },
    Work {
        name: "tar-new",
        program: "tar",
        prepare: "mkdir old && for n in $(seq 4000); do echo $n >old/$n; done && tar cf all.tar old",
        script: "mkdir new && tar xf all.tar -C new",
    },
    Work {
        name: "tar-over",
        program: "tar",
        prepare: "mkdir old && for n in $(seq 4000); do echo $n >old/$n; done && tar cf all.tar old",
        script: "tar xf all.tar",
    },
    Work {
        name: "sqlite-wal",
        program: "sqlite3",
        prepare: "sqlite3 db 'PRAGMA journal_mode=wal; CREATE TABLE t(a INTEGER PRIMARY KEY, b);'",
        script: "for n in $(seq 200); do \
            echo 'INSERT INTO t(b) VALUES(randomblob(200));'; done | sqlite3 db",
    },
    Work {
        name: "sqlite-journal",
        program: "sqlite3",
        prepare: "sqlite3 db 'CREATE TABLE t(a INTEGER PRIMARY KEY, b);'",
        script: "for n in $(seq 200); do \
            echo 'INSERT INTO t(b) VALUES(randomblob(200));'; done | sqlite3 db",
    },
    Work {
        name: "cargo-build",
        program: "cargo",
        prepare: "cargo new -q --vcs none some && cd some && for n in $(seq 40); do \
            echo \"pub fn f$n() -> String { format!(\\\"{}\\\", $n) }\" >src/m$n.rs; \
            echo \"mod m$n;\" >>src/main.rs; done",
        script: "cd some && cargo build -q --offline 2>/dev/null",
    },
    Work {
        name: "compileall",
        program: "python3",
        prepare: "cp $(python3 -c 'import os; print(os.path.dirname(os.__file__))')/*.py .",
        script: "python3 -m compileall -q .",
    },
];

fn work(name: &str) -> &'static Work {
    let found = WORKS.iter().find(|work| work.name == name);
    found.expect("one of those")
}

fn run(script: &str) {
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().expect("there is a shell");
    assert!(status.success(), "{script}: {status}");
}

/// Prints nanoseconds.
pub fn measure(name: &str, state: &str) {
    let _place = state::new_place();
    let work = work(name);
    run(work.prepare);
    state::enter(state);
    let begin = now_ns();
    run(work.script);
    let took = now_ns() - begin;
    state::leave(state);
    println!("{took}");
}

#[expect(clippy::cast_precision_loss, reason = "figures for a person")]
pub fn show() {
    println!("work: milliseconds, medians of {ROUNDS} runs in turn, and the ratio to no tool\n");
    print!("{:>16}", "");
    for state in STATES {
        print!(" {state:>16}");
    }
    println!();
    for work in &WORKS {
        let there = Command::new(work.program)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if there.is_err() {
            println!("{:>16} {} is not installed", work.name, work.program);
            continue;
        }
        let mut times = vec![Vec::new(); STATES.len()];
        for _ in 0..ROUNDS {
            for (state, times) in STATES.iter().zip(&mut times) {
                let case = format!("work {} {state}", work.name);
                let [[time]] = itself::rows::<1>(&case, state::needs_launcher(state), 1)[..] else {
                    panic!("one row was asked for");
                };
                times.push(time);
            }
        }
        print!("{:>16}", work.name);
        let medians: Vec<u64> = times
            .into_iter()
            .map(|times| itself::quarters(times)[1])
            .collect();
        for median in &medians {
            let ratio = *median as f64 / medians[0] as f64;
            print!(
                " {:>16}",
                format!("{:.1} ({ratio:.2})", *median as f64 / 1e6)
            );
        }
        println!();
    }
    println!();
}
