//! Guest: does operations on files, one that a test names or a burst of random ones, by threads,
//! by children, and by other programs.
//!
//! `file_storm BASE [PROGRAM...]` works below the directory BASE. Each PROGRAM takes BASE, a count
//! and a seed, and does random operations too. On stdin:
//! - `do OPERATION` performs one (see `perform.rs`) in the main thread, and answers `ok` or
//!   `err ERRNO`.
//! - `burst TAG COUNT SEED WHO` has so many operations done by each of WHO: `t` two threads, `m`
//!   the main thread, `c` two children, `p` the programs. It says `begun TAG`, and `ok TAG` when
//!   all is done and quiet.
//! - `ping TAG` is answered by `ok TAG`.
//! - `exit`, `abort`: ends the program.
//!
//! Each random operation is printed on stderr before it is done, with the answer to the former one
//! of the same actor.

mod calls;
mod perform;
mod random;
mod words;

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use perform::Actor;
use random::Dice;

/// How many threads there are beside the main one, and how many children a burst has.
const THREADS: usize = 2;
const CHILDREN: u64 = 2;

/// So many random operations, from this seed.
#[derive(Debug, Clone, Copy)]
struct Work {
    count: u64,
    seed: u64,
}

struct Storm {
    base: PathBuf,
    programs: Vec<String>,
    main: Actor,
    threads: Vec<Sender<Work>>,
    done: Receiver<()>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let base = PathBuf::from(arguments.next().expect("a directory"));
    nix::unistd::chdir(&base).expect("a directory");
    let mut storm = Storm::new(base, arguments.collect());
    println!("ready {}", std::process::id());
    for line in std::io::stdin().lines() {
        let line = line.expect("stdin is text");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("do", operation) => match storm.main.perform(operation) {
                Ok(()) => println!("ok"),
                Err(error) => println!("err {error:?}"),
            },
            ("burst", words) => {
                let words: Vec<&str> = words.split(' ').collect();
                let &[tag, count, seed, who] = words.as_slice() else {
                    panic!("four words: {line}");
                };
                println!("begun {tag}");
                let (count, seed) = (words::number(count), words::number(seed));
                storm.burst(Work { count, seed }, who);
                println!("ok {tag}");
            }
            ("ping", tag) => println!("ok {tag}"),
            ("exit", _) => std::process::exit(3),
            ("abort", _) => std::process::abort(),
            _ => panic!("no such command: {line}"),
        }
    }
}

impl Storm {
    fn new(base: PathBuf, programs: Vec<String>) -> Self {
        let (finished, done) = channel();
        let threads = (0..THREADS).map(|number| {
            let (give, work) = channel::<Work>();
            let (base, finished) = (base.clone(), finished.clone());
            std::thread::spawn(move || {
                let mut actor = Actor::new(&base);
                for work in work {
                    rage(&mut actor, &format!("thread{number}"), &base, work);
                    if finished.send(()).is_err() {
                        return;
                    }
                }
            });
            give
        });
        Self {
            threads: threads.collect(),
            main: Actor::new(&base),
            base,
            programs,
            done,
        }
    }

    /// Has the work done by each of `who`, and waits until all is done.
    fn burst(&mut self, work: Work, who: &str) {
        let mut seeds = Dice::new(work.seed, &self.base);
        let mut next = || Work {
            seed: seeds.below(u64::MAX),
            ..work
        };
        let mut busy = 0;
        if who.contains('t') {
            for thread in &self.threads {
                thread.send(next()).expect("the thread lives");
                busy += 1;
            }
        }
        let programs = if who.contains('p') {
            self.programs.as_slice()
        } else {
            &[]
        };
        let programs: Vec<_> = programs
            .iter()
            .map(|program| start(program, &self.base, next()))
            .collect();
        let children: Vec<_> = (0..if who.contains('c') { CHILDREN } else { 0 })
            .map(|number| {
                let work = next();
                self.child(&format!("child{number}"), work)
            })
            .collect();
        if who.contains('m') {
            rage(&mut self.main, "main", &self.base, next());
        }
        for child in children {
            let status = waitpid(child, None).expect("a child of this process");
            assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        }
        for mut program in programs {
            let status = program.wait().expect("a child of this process");
            assert!(status.success(), "{status}");
        }
        for _ in 0..busy {
            self.done.recv().expect("the threads live");
        }
    }

    /// A child with the main thread's files, which shares their offsets.
    fn child(&mut self, name: &str, work: Work) -> nix::unistd::Pid {
        match fork_child() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                rage(&mut self.main, name, &self.base, work);
                leave()
            }
        }
    }
}

/// Random operations, each printed before it is done.
fn rage(actor: &mut Actor, name: &str, base: &Path, work: Work) {
    let mut dice = Dice::new(work.seed, base);
    let mut former = "-".to_owned();
    for number in 0..work.count {
        let operation = dice.operation();
        let line = format!("op {name} {number} [{former}] {operation}\n");
        // Not by `eprint`: a lock that another thread holds is never freed in a child.
        nix::unistd::write(std::io::stderr().as_fd(), line.as_bytes()).expect("stderr is open");
        former = match actor.perform(&operation) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error:?}"),
        };
    }
}

#[expect(unsafe_code, reason = "ignores a signal in a child")]
fn start(program: &str, base: &Path, work: Work) -> std::process::Child {
    let mut command = Command::new(program);
    command
        .arg(base)
        .arg(work.count.to_string())
        .arg(work.seed.to_string())
        .stdin(Stdio::null());
    // Another one may close the reading end of a FIFO that it writes to.
    let ignore_broken_pipes = || {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        Ok(())
    };
    // SAFETY: it makes one system call.
    unsafe { command.pre_exec(ignore_broken_pipes) };
    let started = command.spawn();
    started.unwrap_or_else(|error| panic!("cannot start {program}: {error}"))
}

#[expect(unsafe_code, reason = "forks")]
fn fork_child() -> ForkResult {
    // SAFETY: the child uses memory that no other thread's lock guards, but for the allocator's,
    // which glibc frees in a child.
    unsafe { fork() }.expect("there is room for a child")
}

#[expect(
    unsafe_code,
    reason = "ends a child without the parent's exit handlers"
)]
fn leave() -> ! {
    // SAFETY: ends the process at once, whatever its state.
    unsafe { libc::_exit(0) }
}
