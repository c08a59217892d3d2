//! After a session nothing of it may be left: no process, no socket, no file.
//!
//! A mark in their environment identifies a session's processes. All descendants inherit it,
//! whatever their parent, session or name is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::deadline;
use crate::process::{self, Process};

/// The environment variable that carries the mark.
pub const MARK: &str = "SNAPSHOT_TEST_MARK";

/// How many looks in a row must find nothing.
const CLEAN_LOOKS: u32 = 3;

/// The processes with this `mark`, except zombies: those have no environment.
pub fn processes(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    Process::all()
        .into_iter()
        .filter(|process| {
            environment(process.pid)
                .split(|&byte| byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// The environment that a process was started with. If its first thread has ended before the
/// others, only theirs show it.
fn environment(pid: i32) -> Vec<u8> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read(thread.path().join("environ")).ok())
        .find(|environment| !environment.is_empty())
        .unwrap_or_default()
}

/// The unix sockets with a launcher's pid in their names.
fn sockets(launcher: i32) -> Vec<String> {
    let name = format!("cargo-snapshot/{launcher}");
    fs::read_to_string("/proc/net/unix")
        .unwrap_or_default()
        .lines()
        .filter(|line| {
            line.split_once(&name)
                .is_some_and(|(_, rest)| !rest.starts_with(|next: char| next.is_ascii_digit()))
        })
        .map(str::to_owned)
        .collect()
}

/// Every file below a directory; directories themselves don't count.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// Waits until nothing of a session is left. When patience is over it says what is left, and
/// ends it, so that one failure does not become many.
///
/// # Errors
/// What is left, a line each.
pub fn check(mark: &str, launcher: i32, runtime: &Path) -> Result<(), String> {
    let look = || {
        let mut left: Vec<String> = processes(mark)
            .iter()
            .map(|process| format!("process {process:?}"))
            .collect();
        left.extend(
            sockets(launcher)
                .iter()
                .map(|line| format!("socket {line}")),
        );
        let prefix = format!("{launcher}.");
        left.extend(
            files(runtime)
                .iter()
                .filter(|path| {
                    path.file_name()
                        .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
                })
                .map(|path| format!("file {}", path.display())),
        );
        left
    };
    let mut left = Vec::new();
    // In the middle of an exec a process has no environment for a moment, and so no mark: one
    // clean look proves nothing.
    let mut clean_looks = 0;
    let mut is_clean = || {
        left = look();
        clean_looks = if left.is_empty() { clean_looks + 1 } else { 0 };
        clean_looks == CLEAN_LOOKS
    };
    if deadline::wait(|| is_clean().then_some(())).is_some() {
        return Ok(());
    }
    // On a busy machine a look takes long, so the time may be over before there were enough
    // looks.
    for _ in 0..CLEAN_LOOKS {
        if is_clean() {
            return Ok(());
        }
    }
    end(mark);
    Err(left.join("\n"))
}

/// Ends all processes with the mark.
pub fn end(mark: &str) {
    // A process may fork while the list is read, so look again until there is none.
    let _ = deadline::wait_for(Duration::from_secs(5), || {
        let left = processes(mark);
        for process in &left {
            process::send(process.pid, Signal::SIGKILL);
        }
        left.is_empty().then_some(())
    });
}
