//! The processes below another one, as `/proc` shows them.
//!
//! The supervisor is a subreaper: whatever the program has started, and whatever that
//! has started, is below it, however often parents have died in between.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use snapshot_core::kernel::proc_text;
use snapshot_core::process::lineage::{self, Lineage};

use super::child;
use crate::processes::files;
use crate::talk::counted::counted;

/// A process, told from a later one of the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
    /// It has ended, and waits to be reaped.
    is_over: bool,
}

impl Process {
    /// The process that has this number now, even if it has ended and is to be reaped.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::by(pid, &fields_of(pid)?)
    }

    fn by(pid: i32, stat: &str) -> Option<Self> {
        Some(Self {
            pid,
            started: field(stat, 19)?,
            // Of one that lives on without its first thread that one is a zombie, too.
            is_over: stat.starts_with('Z') && field::<u32>(stat, 17)? <= 1,
        })
    }

    /// Whether both are one process, ended meanwhile or not.
    pub(crate) fn is(self, other: Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }
}

/// Whether a process has been stopped, and the signal that its parent has not been told of
/// yet, or 0. `None` where it has ended.
pub(crate) fn stop_of(pid: i32) -> Option<(bool, i32)> {
    let stat = fields_of(pid)?;
    if stat.starts_with(['Z', 'X']) {
        return None;
    }
    let is_stopped = stat.starts_with('T');
    // The kernel shows what it will tell the parent where it shows how a process has ended.
    let untold = field(&stat, 49).filter(|_| is_stopped).unwrap_or(0);
    Some((is_stopped, untold))
}

/// What a process has done so far. One that stands still has the same twice.
pub(crate) type Work = [u64; 5];

/// `None` where there is no such process, or it has ended.
pub(crate) fn work_of(pid: i32) -> Option<Work> {
    let stat = fields_of(pid)?;
    // Minor and major faults; the time in user and in kernel mode, in ticks, of all its threads;
    // the time of the first to the nanosecond, where the kernel counts that.
    Some([
        field(&stat, 7)?,
        field(&stat, 9)?,
        field(&stat, 11)?,
        field(&stat, 12)?,
        time_run(pid).unwrap_or(0),
    ])
}

/// How long a process's first thread has had a processor.
fn time_run(pid: i32) -> Option<u64> {
    let text = files::text(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

/// How many threads a process has; none where there is no process.
pub(crate) fn threads_of(pid: i32) -> u32 {
    fields_of(pid)
        .and_then(|stat| field(&stat, 17))
        .unwrap_or(0)
}

/// What every thread of a process does: `R`, `S`, `T`, ...
pub(crate) fn states(pid: i32) -> impl Iterator<Item = char> {
    let threads = numbers_in(&format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    threads.filter_map(move |thread| {
        let stat = files::text(of_thread(thread, &format!("task/{thread}/stat"))).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    })
}

/// Whether a debugger has hold of a process.
pub(crate) fn is_traced(pid: i32) -> bool {
    let status = files::bytes(format!("/proc/{pid}/status")).unwrap_or_default();
    tracer_in(&status).is_some()
}

/// Who traces a process, as this namespace knows it, by its `status`.
pub(crate) fn tracer_in(status: &[u8]) -> Option<i32> {
    let tracer = proc_text::number(status, "TracerPid:")?;
    i32::try_from(tracer).ok().filter(|&tracer| tracer != 0)
}

/// What `/proc/PID/stat` says after the name, which may hold spaces and parentheses.
fn fields_of(pid: i32) -> Option<String> {
    let stat = files::text(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

/// The field of this number, counted from 0 after the name (proc(5) counts from 3).
fn field<T: FromStr>(fields: &str, number: usize) -> Option<T> {
    fields.split(' ').nth(number)?.parse().ok()
}

/// The parent of a process; none for the first of all.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    field(&fields_of(pid)?, 1).filter(|&parent| parent > 0)
}

/// The entries of a directory of `/proc` that are numbers: processes, threads, descriptors.
///
/// # Errors
/// Where there is none, or it may not be looked into.
pub(crate) fn numbers_in(directory: &str) -> io::Result<impl Iterator<Item = i32> + use<>> {
    let entries = fs::read_dir(directory)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// The path of a thread's file, beside the processes and not below `/proc/PID/task`: what is
/// looked at there makes it slow to reap the process. See [`super::numbers`].
pub(crate) fn of_thread(thread: i32, file: &str) -> String {
    format!("/proc/{thread}/{file}")
}

/// What a process is called; empty where there is none.
pub(crate) fn name_of(pid: i32) -> String {
    let name = files::text(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// The children of one process, those of all its threads.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = numbers_in(&format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| {
            // Only a list of threads has it.
            files::text(of_thread(thread, &format!("task/{thread}/children"))).ok()
        })
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

/// These processes, and everything below them.
pub(crate) fn from(mut left: Vec<i32>) -> HashSet<Process> {
    let mut found = HashSet::new();
    while let Some(pid) = left.pop() {
        if let Some(process) = Process::of(pid)
            && !process.is_over
            && found.insert(process)
        {
            left.extend(children(pid));
        }
    }
    found
}

/// What a person should know of those that can't be ended.
pub(crate) fn name_out_of_reach(leftovers: &[Leftover]) -> Option<String> {
    if leftovers.is_empty() {
        return None;
    }
    let count = counted(leftovers.len(), "process");
    Some(format!(
        "could not end {count} that the program had started, with other rights than yours (set-uid): {}",
        names_of(leftovers)
    ))
}

/// `sleep (71), cat (72)`
pub(crate) fn names_of(leftovers: &[Leftover]) -> String {
    let names: Vec<String> = leftovers
        .iter()
        .map(|leftover| format!("{} ({})", leftover.name, leftover.outer_pid))
        .collect();
    names.join(", ")
}

/// A process that the ended branch had started, and that is ended after it.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) pid: i32,
    /// The same as everybody outside sees it.
    pub(crate) outer_pid: i32,
    pub(crate) name: String,
}

/// Opens a process that has been found as a child of `parent`, which is below `root` or is
/// that. `None` where it has ended, and its number is another's, or nobody's.
fn open_below(pid: i32, parent: i32, root: i32) -> Option<(OwnedFd, Process)> {
    let handle = child::open(pid).ok()?;
    let stat = fields_of(pid)?;
    let is_below = field(&stat, 1) == Some(parent) || lineage::of(pid, &[root]) == Lineage::Below;
    let process = Process::by(pid, &stat)?;
    is_below.then_some((handle, process))
}

/// Whom a signal was sent to.
#[derive(Debug, Default)]
pub(crate) struct Signalled {
    pub(crate) got: Vec<Leftover>,
    /// They run with other rights, by a set-uid program: this user may not signal them.
    pub(crate) out_of_reach: Vec<Leftover>,
}

/// Sends a signal to everything below `root` except the processes that are `spared`, or
/// for which `keep` says so, with all that is below those. Where nobody got it nothing is
/// left that could be ended.
///
/// To look at a process costs some 10 µs, which those that are spared are: they may be a
/// thousand frozen copies.
pub(crate) fn signal_below(
    root: i32,
    signal: Signal,
    spared: &HashSet<i32>,
    keep: &dyn Fn(Process) -> bool,
) -> Signalled {
    let mut found = Signalled::default();
    let below = |parent| children(parent).into_iter().map(move |pid| (pid, parent));
    let mut left: Vec<(i32, i32)> = below(root).collect();
    while let Some((pid, parent)) = left.pop() {
        if spared.contains(&pid) {
            continue;
        }
        // What is looked at from here on is what is signalled, or has ended by then.
        let Some((handle, process)) = open_below(pid, parent, root) else {
            continue;
        };
        if process.is_over || keep(process) {
            continue;
        }
        left.extend(below(pid));
        let leftover = Leftover {
            pid,
            outer_pid: pid,
            name: name_of(pid),
        };
        match child::send(&handle, signal as libc::c_int, std::ptr::null()) {
            Ok(()) => found.got.push(leftover),
            Err(Errno::EPERM) => found.out_of_reach.push(leftover),
            Err(_) => {}
        }
    }
    found
}
