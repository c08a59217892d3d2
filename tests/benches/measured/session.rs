//! A session with the guest in it, driven from outside as a person would: by signals and
//! by the second terminal's requests. It ends with this value, and with this process,
//! however that ends.
#![expect(unsafe_code, reason = "sends signals")]
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use snapshot_core::sys::now_ns;
use snapshot_launch::{
    control::{Answer, Listing, Request},
    event::Moments,
    flags::SnapshotFlags,
};

use crate::guest::Guest;
use crate::itself;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether this launcher has a flag for huge pages.
pub fn knows_huge_pages() -> bool {
    format!("{:?}", SnapshotFlags::from_environment()).contains("huge_pages")
}

/// How a branch is ended.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// The live process is killed.
    Kill,
    /// By the second terminal.
    Revert,
    /// As by Ctrl+C.
    Interrupt,
}

/// A revert as it is seen from outside, in nanoseconds.
pub struct Back {
    /// What the session says of it.
    pub latency_ns: u64,
    /// From just before the request until the program says that it is back.
    pub first_word_ns: u64,
}

pub struct Session {
    launcher: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    events: BufReader<File>,
    /// The beginning of an event whose end has not been written yet.
    begun: String,
    live: i32,
    place: PathBuf,
    socket: PathBuf,
}

impl Session {
    /// Launches the guest, with huge pages unless it forbids them itself.
    pub fn start(guest: Guest) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("cargo-snapshot-bench-{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&place);
        made.expect("the temp directory is writable");
        let log = place.join("events");
        File::create(&log).expect("the directory is ours");
        let mut command = itself::command(&guest.case(), true);
        command
            .env("XDG_RUNTIME_DIR", &place)
            .env("CARGO_SNAPSHOT_EVENTS", &log)
            .env("CARGO_SNAPSHOT_NAME", "bench")
            .env("CARGO_SNAPSHOT_MOMENTS", "1")
            .env(
                "CARGO_SNAPSHOT_HUGE_PAGES",
                if guest.small_pages { "never" } else { "auto" },
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // SAFETY: takes numbers; SIGTERM has the launcher end its session.
        let end_with_us = || match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        };
        // SAFETY: one system call, which may be made between fork and exec.
        unsafe { command.pre_exec(end_with_us) };
        let mut launcher = command.spawn().expect("the bench can run itself");
        let mut session = Self {
            stdin: launcher.stdin.take().expect("it is a pipe"),
            stdout: BufReader::new(launcher.stdout.take().expect("it is a pipe")),
            events: BufReader::new(File::open(&log).expect("it was just made")),
            begun: String::new(),
            live: 0,
            socket: place.join(format!("cargo-snapshot/{}.sock", launcher.id())),
            place,
            launcher,
        };
        assert_eq!(session.line(), "ready");
        session.live = pid(&session.next("started"));
        session
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("stdout is text");
        line.trim_end().to_owned()
    }

    /// Has the guest do something, and gives the numbers it answers with.
    fn tell(&mut self, command: &str) -> Vec<u64> {
        writeln!(self.stdin, "{command}").expect("the guest reads");
        self.heard(command)
    }

    /// The numbers that the guest answers with.
    fn heard(&mut self, command: &str) -> Vec<u64> {
        let answer = self.line();
        let mut words = answer.split(' ');
        assert_eq!(words.next(), Some("ok"), "to {command}: {answer:?}");
        words
            .map(|number| number.parse().expect("a number"))
            .collect()
    }

    /// Has the guest write to one page in so many.
    pub fn touch(&mut self, a_page_in: usize) {
        self.tell(&format!("touch {a_page_in}"));
    }

    /// Has it fork: nanoseconds of the fork, and of killing and waiting for the child.
    pub fn raw_fork(&mut self) -> (u64, u64) {
        match self.tell("fork")[..] {
            [fork, kill] => (fork, kill),
            ref other => panic!("two numbers, not {other:?}"),
        }
    }

    /// Has it fork a child that makes all the memory its own: nanoseconds of killing and
    /// waiting for that.
    pub fn raw_kill_of_dirtied(&mut self) -> u64 {
        self.tell("kill-dirtied")[0]
    }

    /// The next event of this name.
    fn next(&mut self, name: &str) -> Value {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            self.events
                .read_line(&mut self.begun)
                .expect("events are text");
            if !self.begun.ends_with('\n') {
                std::thread::sleep(Duration::from_micros(20));
                continue;
            }
            let line = std::mem::take(&mut self.begun);
            let event: Value = serde_json::from_str(&line).expect("an event is JSON");
            assert_ne!(event["event"], "refused", "{event}");
            if event["event"] == name {
                return event;
            }
        }
        panic!("there was no event `{name}`");
    }

    /// Takes a snapshot by the trigger signal; nanoseconds that the program stood still.
    pub fn take(&mut self) -> u64 {
        self.signal(libc::SIGUSR1);
        latency_ns(&self.next("taken"))
    }

    /// Takes a snapshot by the trigger signal to the launcher, as a person does; when the
    /// signal was sent, and the moments that the event tells.
    pub fn take_by_launcher(&mut self) -> (u64, Moments) {
        let begun = now_ns();
        let launcher = i32::try_from(self.launcher.id()).expect("a pid fits");
        // SAFETY: a signal to the session's launcher.
        unsafe { libc::kill(launcher, libc::SIGUSR1) };
        let event = self.next("taken");
        let moments = serde_json::from_value(event["moments_ns"].clone());
        (begun, moments.expect("every such event has them"))
    }

    /// Where the program says that the time of its last take went, in nanoseconds: park,
    /// record, split, complete, release.
    pub fn phases(&mut self) -> [u64; 5] {
        let phases = self.tell("phases").try_into();
        phases.expect("the guest tells five numbers")
    }

    /// Drops all snapshots.
    pub fn commit(&mut self) {
        self.ask(&Request::Commit);
    }

    /// Reverts as the second terminal does; nanoseconds.
    pub fn revert(&mut self, id: Option<u32>, keep: bool) -> u64 {
        self.ask(&Request::Revert {
            id,
            keep,
            force: false,
            ahead: false,
        });
        self.reverted()
    }

    /// Kills the live process; nanoseconds from there until the session says that the
    /// program runs again.
    pub fn revert_by_kill(&mut self) -> u64 {
        let begin = Instant::now();
        self.signal(libc::SIGKILL);
        self.reverted();
        u64::try_from(begin.elapsed().as_nanos()).expect("not for centuries")
    }

    /// Has the guest take a snapshot, to say at once when it is reverted to.
    pub fn take_by_itself(&mut self) {
        self.tell("take");
        self.next("taken");
    }

    /// Reverts a guest that has taken a snapshot by itself.
    pub fn revert_by(&mut self, end: End) -> Back {
        let begun_ns = now_ns();
        match end {
            End::Kill => self.signal(libc::SIGKILL),
            End::Revert => {
                self.ask(&Request::Revert {
                    id: None,
                    keep: false,
                    force: false,
                    ahead: false,
                });
            }
            End::Interrupt => signal(self.launcher.id().cast_signed(), libc::SIGINT),
        }
        let said_ns = self.heard("a revert")[0];
        Back {
            latency_ns: self.reverted(),
            first_word_ns: said_ns - begun_ns,
        }
    }

    fn reverted(&mut self) -> u64 {
        let event = self.next("reverted");
        self.live = pid(&event);
        latency_ns(&event)
    }

    /// The timeline, and how many nanoseconds the answer took.
    pub fn list(&mut self) -> (Listing, u64) {
        let begin = Instant::now();
        let Answer::List(listing) = self.ask(&Request::List) else {
            panic!("a list is answered by a list");
        };
        let ns = begin.elapsed().as_nanos();
        (listing, u64::try_from(ns).expect("not for centuries"))
    }

    fn ask(&mut self, request: &Request) -> Answer {
        let socket = UnixStream::connect(&self.socket).expect("the session listens");
        let request = serde_json::to_string(request).expect("it is data");
        writeln!(&socket, "{request}").expect("the session reads");
        let answer = serde_json::from_reader(BufReader::new(&socket)).expect("the session answers");
        if let Answer::Refused { what, cause, .. } = &answer {
            panic!("{what}: {cause}");
        }
        answer
    }

    fn signal(&self, number: i32) {
        signal(self.live, number);
    }
}

/// Sends a process of the session a signal.
fn signal(pid: i32, number: i32) {
    // SAFETY: takes numbers.
    unsafe { libc::kill(pid, number) };
}

impl Drop for Session {
    fn drop(&mut self) {
        // The launcher then ends everything that it has started.
        let launcher = self.launcher.id();
        if let Ok(pid) = i32::try_from(launcher) {
            // SAFETY: our own child, which has not been waited for.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let begin = Instant::now();
        while matches!(self.launcher.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(20) {
                let _ = self.launcher.kill();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

fn latency_ns(event: &Value) -> u64 {
    event["latency_us"]
        .as_u64()
        .expect("every such event has it")
        * 1000
}

fn pid(event: &Value) -> i32 {
    let pid = event["live_pid"].as_i64().expect("every such event has it");
    i32::try_from(pid).expect("a pid fits")
}

/// The pid of a frozen copy.
pub fn frozen(snapshot: &snapshot_launch::control::SnapshotInfo) -> u32 {
    u32::try_from(snapshot.frozen_pid).expect("a pid is positive")
}

/// The kernel's directory of a process.
pub fn proc_of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}
