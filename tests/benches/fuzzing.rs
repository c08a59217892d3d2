//! Runs a second by our fork server beside AFL++'s own, with one target, in one run:
//! `cargo bench -p snapshot-tests --bench fuzzing`. The same program serves both ways, by turns, and this
//! bench asks for runs as afl-fuzz does, over the same two descriptors. So it is the cycle alone, without
//! the time that afl-fuzz takes to make an input and to look at a map.
//!
//! The third server is AFL++'s, where the C library was told to use huge pages
//! (`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), which few do.
#![expect(unsafe_code, reason = "gives the target its descriptors")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snapshot_tests::{CLibrary, Linked, Place, binaries, deadline, outside};

/// How often each is measured, and for how long.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);

/// How a program serves.
#[derive(Clone, Copy)]
struct Server {
    name: &'static str,
    /// The guest's word for it.
    word: &'static str,
    tunables: &'static str,
}

const OURS: Server = Server {
    name: "ours",
    word: "ours",
    tunables: "",
};
const AFL: Server = Server {
    name: "AFL++",
    word: "afl",
    tunables: "",
};
const AFL_HUGE: Server = Server {
    name: "AFL++, huge pages",
    word: "afl",
    tunables: "glibc.malloc.hugetlb=1",
};

/// Threads, MB of state, and what else each run finds as it was; and who can do that.
const CASES: [(&str, &str, &str, &[Server]); 6] = [
    ("0", "0", "", &[OURS, AFL]),
    ("0", "64", "", &[OURS, AFL, AFL_HUGE]),
    ("0", "1024", "", &[OURS, AFL, AFL_HUGE]),
    ("2", "0", "ft", &[OURS]),
    ("2", "64", "ft", &[OURS]),
    ("2", "1024", "ft", &[OURS]),
];

/// A target that waits to be asked.
struct Target {
    process: Child,
    requests: File,
    answers: File,
}

/// In the target, before it is executed: gives these descriptors their numbers. It ends with this bench.
fn give(given: [(i32, i32); 2]) -> std::io::Result<()> {
    for (fd, number) in given {
        // SAFETY: takes numbers.
        if unsafe { libc::dup2(fd, number) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    Ok(())
}

impl Target {
    fn start(program: &Path, server: Server, words: [&str; 3]) -> Self {
        let (theirs, requests) = std::io::pipe().expect("there is room");
        let (answers, said) = std::io::pipe().expect("there is room");
        let given = [(theirs.as_raw_fd(), 198), (said.as_raw_fd(), 199)];
        let mut command = Command::new(program);
        command
            .arg(server.word)
            .args(words)
            .env("GLIBC_TUNABLES", server.tunables)
            // As afl-fuzz does for a program with the mark.
            .env("__AFL_DEFER_FORKSRV", "1")
            .stdin(Stdio::null());
        // SAFETY: makes system calls only.
        unsafe { command.pre_exec(move || give(given)) };
        let process = command.spawn().expect("it was built");
        let mut target = Self {
            process,
            requests: OwnedFd::from(requests).into(),
            answers: OwnedFd::from(answers).into(),
        };
        // Which options it knows. One that takes input in shared memory waits to be told that there is
        // none: the input is on stdin, and empty.
        let options = target.answer();
        if options & 0x0100_0000 != 0 {
            target.ask(0);
        }
        target
    }

    fn ask(&mut self, word: u32) {
        self.requests
            .write_all(&word.to_ne_bytes())
            .expect("it listens");
    }

    fn answer(&mut self) -> u32 {
        let mut word = [0; 4];
        self.answers.read_exact(&mut word).expect("it answers");
        u32::from_ne_bytes(word)
    }

    fn run(&mut self) {
        self.ask(0);
        let pid = self.answer();
        assert!(pid > 0, "there is a copy");
        assert_eq!(self.answer(), 0, "it has ended well");
    }

    /// Runs a second.
    fn measure(&mut self) -> f64 {
        let begin = Instant::now();
        let mut runs = 0_u32;
        while begin.elapsed() < ROUND {
            self.run();
            runs += 1;
        }
        f64::from(runs) / begin.elapsed().as_secs_f64()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    deadline::renew();
    if outside::find("afl-clang-fast").is_none() {
        return;
    }
    let place = Place::new();
    let library = CLibrary::install(&place);
    let source = binaries::source("fuzzed.c");
    let options = ["-std=gnu99"];
    let program = library.compile_by(
        "afl-clang-fast",
        &options,
        &source,
        Linked::Shared,
        &place.work(),
    );
    println!("runs a second: the median and the extremes of {ROUNDS} rounds by turns\n");
    for (threads, megabytes, kept, servers) in CASES {
        deadline::renew();
        println!("{threads} more threads, {megabytes} MB of state");
        let words = [threads, megabytes, kept];
        let mut targets: Vec<Target> = servers
            .iter()
            .map(|&server| Target::start(&program, server, words))
            .collect();
        for target in &mut targets {
            target.run();
        }
        let mut rates = vec![Vec::new(); servers.len()];
        for _ in 0..ROUNDS {
            for (target, rates) in targets.iter_mut().zip(&mut rates) {
                rates.push(target.measure());
            }
        }
        let mut medians = Vec::new();
        for (server, rates) in servers.iter().zip(&mut rates) {
            let rounds: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
            rates.sort_unstable_by(f64::total_cmp);
            let median = rates[ROUNDS / 2];
            medians.push(median);
            println!(
                "  {:<18} {median:>7.0} ({:.0} to {:.0}); rounds: {}",
                server.name,
                rates[0],
                rates[ROUNDS - 1],
                rounds.join(" ")
            );
        }
        for (server, median) in servers.iter().zip(&medians).skip(1) {
            println!("  ours / {}: {:.2}", server.name, medians[0] / median);
        }
    }
}
