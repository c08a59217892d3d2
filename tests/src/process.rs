//! Processes, as `/proc` shows them.
#![expect(unsafe_code, reason = "signals a single thread")]

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// `R`, `S`, `T`, `Z`, ...
    pub state: char,
    /// Its parent.
    pub parent: i32,
}

impl Process {
    /// The process of this id, if there is one. A zombie is one as well.
    pub fn look(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The name is in parentheses and may contain anything, parentheses too.
        let (head, tail) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = tail.split_whitespace();
        Some(Self {
            pid,
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
        })
    }

    /// Every process there is.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Self::look)
            .collect()
    }
}

/// Whether this process runs, sleeps or is stopped; a zombie doesn't count.
pub fn is_alive(pid: i32) -> bool {
    Process::look(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// The names of a process's threads, sorted; empty if it is gone.
pub fn threads(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// One line of `/proc/PID/status`, without its name.
pub fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

/// A process's or thread's own number in its namespace.
pub fn inside(pid: i32) -> Option<i32> {
    status(pid, "NSpid")?
        .split_whitespace()
        .next_back()?
        .parse()
        .ok()
}

/// The process with the number `inner` in the namespace of `insider`.
pub fn outside(insider: i32, inner: i32) -> Option<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(insider)?;
    Process::all()
        .iter()
        .map(|process| process.pid)
        .find(|&pid| inside(pid) == Some(inner) && namespace(pid).as_ref() == Some(&wanted))
}

/// Whether a signal is pending for this process.
pub fn is_pending(pid: i32, signal: Signal) -> bool {
    // A fieldless enum over `c_int`; signal n is bit n-1.
    let bit = 1_u64 << (signal as i32 - 1);
    ["SigPnd", "ShdPnd"].iter().any(|field| {
        status(pid, field)
            .and_then(|mask| u64::from_str_radix(&mask, 16).ok())
            .is_some_and(|mask| mask & bit != 0)
    })
}

/// Sends a signal. It is no error if the process is gone, since tests race with it.
pub fn send(pid: i32, signal: Signal) {
    assert!(pid > 1, "no test means process {pid}");
    // A missing right would show as a test that waits in vain.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// The threads of a process, the first one first.
pub fn thread_ids(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let mut threads: Vec<i32> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // Numbers wrap around, so they don't show which thread is older.
    threads.sort_unstable_by_key(|&thread| (thread != pid, thread));
    threads
}

/// Sends a signal to one thread of a process.
///
/// # Panics
/// When there is no such thread.
pub fn send_to_thread(pid: i32, thread: i32, signal: Signal) {
    // SAFETY: takes numbers only.
    let done = unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, signal as i32) };
    assert_eq!(done, 0, "thread {thread} of process {pid} is there");
}
