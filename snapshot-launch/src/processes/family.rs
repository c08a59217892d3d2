//! The processes below another one, from `/proc`.
//!
//! The supervisor is a subreaper: all the program's descendants are below it, however many
//! parents have died in between.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use snapshot_core::kernel::proc_text;
use snapshot_core::process::lineage::{self, Lineage};

use super::{child, thread_list::tids_of};
use crate::processes::files;
use crate::talk::counted::counted;

/// A process, distinguished by its start time from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
    /// It has ended, and waits to be reaped.
    is_over: bool,
}

impl Process {
    /// The process that has this number now, even if it has ended unreaped.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::look(pid).ok().flatten()
    }

    /// The same; `None` if there is none.
    ///
    /// # Errors
    /// EMFILE and kin: it can't be seen.
    pub(crate) fn look(pid: i32) -> io::Result<Option<Self>> {
        match files::text(format!("/proc/{pid}/stat")) {
            Ok(stat) => Ok(after_name(&stat).and_then(|fields| Self::by(pid, fields))),
            Err(error) if files::is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn by(pid: i32, stat: &str) -> Option<Self> {
        Some(Self {
            pid,
            started: field(stat, 19)?,
            // A process that lives on without its first thread shows a zombie too.
            is_over: stat.starts_with('Z') && field::<u32>(stat, 17)? <= 1,
        })
    }

    /// Whether both are one process, even if it has ended meanwhile.
    pub(crate) fn is(self, other: Self) -> bool {
        (self.pid, self.started) == (other.pid, other.started)
    }
}

/// Whether a process is stopped, and the signal that its parent has not seen yet, or 0. `None`
/// if it has ended.
pub(crate) fn stop_of(pid: i32) -> Option<(bool, i32)> {
    let stat = fields_of(pid)?;
    if stat.starts_with(['Z', 'X']) {
        return None;
    }
    let is_stopped = stat.starts_with('T');
    // The kernel shows what its parent has not seen in the field of the exit status.
    let untold = field(&stat, 49).filter(|_| is_stopped).unwrap_or(0);
    Some((is_stopped, untold))
}

/// The work that a process has done so far. It is the same twice if the process stands still.
pub(crate) type Work = [u64; 5];

/// `None` if there is no such process, or if it has ended.
pub(crate) fn work_of(pid: i32) -> Option<Work> {
    let stat = fields_of(pid)?;
    // Minor and major faults; user and system time of all its threads, in ticks; the time of
    // the first thread in nanoseconds, if the kernel counts that.
    Some([
        field(&stat, 7)?,
        field(&stat, 9)?,
        field(&stat, 11)?,
        field(&stat, 12)?,
        time_run(pid).unwrap_or(0),
    ])
}

/// How long a process's first thread has run.
fn time_run(pid: i32) -> Option<u64> {
    let text = files::text(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}

/// A process's number of threads; 0 if there is no process.
pub(crate) fn threads_of(pid: i32) -> u32 {
    fields_of(pid)
        .and_then(|stat| field(&stat, 17))
        .unwrap_or(0)
}

/// Whether a process whose threads all stand still is being killed, or has ended. If not, all its
/// threads are there, and no child of theirs has got another parent.
///
/// A killed process's threads leave one by one. Since Linux 5.17 SIGKILL shows from its first
/// moment on; before, only in `thread` itself, once that leaves.
///
/// # Errors
/// EMFILE and kin: it can't be seen.
pub(crate) fn is_ending(pid: i32, thread: i32) -> io::Result<bool> {
    const PF_EXITING: u64 = 0x4;
    let whole = match files::text(format!("/proc/{pid}/stat")) {
        Err(error) if files::is_gone(&error) => return Ok(true),
        whole => whole?,
    };
    let fields = after_name(&whole);
    // The field of the exit status, where other signals may have stopped it.
    let end = fields.and_then(|fields| field::<i32>(fields, 49));
    let is_leaving = match files::bytes(format!("/proc/{pid}/task/{thread}/stat")) {
        Ok(own) => proc_text::stat(&own).map(|stat| stat.flags & PF_EXITING != 0),
        // It is the program that says which thread this is: then the whole process has to do.
        Err(error) if files::is_gone(&error) => fields.map(|fields| fields.starts_with(['Z', 'X'])),
        Err(error) => return Err(error),
    };
    let (Some(is_leaving), Some(end)) = (is_leaving, end) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(end & 0x7f == libc::SIGKILL || is_leaving)
}

/// The state of every thread of a process: `R`, `S`, `T`, ...
pub(crate) fn states(pid: i32) -> impl Iterator<Item = char> {
    let threads = tids_of(pid).into_iter().flatten();
    threads.filter_map(move |thread| {
        let stat = files::text(of_thread(thread, &format!("task/{thread}/stat"))).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    })
}

/// Whether a debugger traces a process.
pub(crate) fn is_traced(pid: i32) -> bool {
    let status = files::bytes(format!("/proc/{pid}/status")).unwrap_or_default();
    tracer_in(&status).is_some()
}

/// A process's tracer by its `status`, with its number in this namespace.
pub(crate) fn tracer_in(status: &[u8]) -> Option<i32> {
    let tracer = proc_text::number(status, "TracerPid:")?;
    i32::try_from(tracer).ok().filter(|&tracer| tracer != 0)
}

/// The fields of `/proc/PID/stat` after the name.
fn fields_of(pid: i32) -> Option<String> {
    let stat = files::text(format!("/proc/{pid}/stat")).ok()?;
    after_name(&stat).map(str::to_owned)
}

/// What follows the name, which may hold spaces and parentheses.
fn after_name(stat: &str) -> Option<&str> {
    Some(stat.rsplit_once(") ")?.1)
}

/// The field with this number, from 0 after the name (proc(5) begins at 3).
fn field<T: FromStr>(fields: &str, number: usize) -> Option<T> {
    // A line feed is behind the last one.
    fields.split_ascii_whitespace().nth(number)?.parse().ok()
}

/// The parent of a process; `None` for the first process.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    field(&fields_of(pid)?, 1).filter(|&parent| parent > 0)
}

/// The path of a thread's file, beside the processes and not below `/proc/PID/task`: looks
/// there make it slow to reap the process. See [`super::numbers`].
pub(crate) fn of_thread(thread: i32, file: &str) -> String {
    format!("/proc/{thread}/{file}")
}

/// A process's name; empty if there is none.
pub(crate) fn name_of(pid: i32) -> String {
    let name = files::text(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// A process as a person reads it: `sleep (123)`.
pub(crate) fn title(name: &str, number: i32) -> String {
    format!("{name} ({number})")
}

/// The same of a process that runs.
pub(crate) fn title_of(pid: i32) -> String {
    title(&name_of(pid), pid)
}

/// The children of one process, of all its threads, as far as they can be seen.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    seen_children(pid, |_| {})
}

/// All children of one process that lives.
///
/// # Errors
/// EMFILE and kin: some can't be seen.
pub(crate) fn all_children(pid: i32) -> io::Result<Vec<i32>> {
    let mut unseen = None;
    let seen = seen_children(pid, |error| {
        if !files::is_gone(&error) {
            unseen = Some(error);
        }
    });
    unseen.map_or(Ok(seen), Err)
}

/// The children of one process. `failed` gets the error of each look that fails.
fn seen_children(pid: i32, mut failed: impl FnMut(io::Error)) -> Vec<i32> {
    let mut seen = Vec::new();
    let threads = tids_of(pid).map_err(&mut failed);
    for thread in threads.into_iter().flatten() {
        // Only the list of threads has this file.
        match files::text(of_thread(thread, &format!("task/{thread}/children"))) {
            Ok(list) => {
                let pids = list.split_ascii_whitespace();
                seen.extend(pids.filter_map(|pid| pid.parse::<i32>().ok()));
            }
            Err(error) => failed(error),
        }
    }
    seen
}

/// These processes, and everything below them.
///
/// # Errors
/// EMFILE and kin: some can't be seen.
pub(crate) fn from(mut left: Vec<i32>) -> io::Result<HashSet<Process>> {
    let mut found = HashSet::new();
    while let Some(pid) = left.pop() {
        if let Some(process) = Process::look(pid)?
            && !process.is_over
            && found.insert(process)
        {
            left.extend(all_children(pid)?);
        }
    }
    Ok(found)
}

/// A note for a person on processes that can't be ended.
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
        .map(|leftover| title(&leftover.name, leftover.outer_pid))
        .collect();
    names.join(", ")
}

/// A process of the ended branch, which is ended after it.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) pid: i32,
    /// Its number outside.
    pub(crate) outer_pid: i32,
    pub(crate) name: String,
}

/// Opens a process that was found as a child of `parent`, which is `root` or below it. `None`
/// if it has ended, even if its number is in use again.
fn open_below(pid: i32, parent: i32, root: i32) -> Option<(OwnedFd, Process)> {
    let handle = child::open(pid).ok()?;
    let stat = fields_of(pid)?;
    let is_below = field(&stat, 1) == Some(parent) || lineage::of(pid, &[root]) == Lineage::Below;
    let process = Process::by(pid, &stat)?;
    is_below.then_some((handle, process))
}

/// The receivers of a signal.
#[derive(Debug, Default)]
pub(crate) struct Signalled {
    pub(crate) got: Vec<Leftover>,
    /// Processes that this user may not signal, since they have other rights, by a set-uid
    /// program.
    pub(crate) out_of_reach: Vec<Leftover>,
}

/// Sends a signal to everything below `root` but the `spared` processes, those that `keep`
/// picks, and all below these. If nobody got it there is nothing left that could be ended.
///
/// A look at a process costs some 10 µs, which `spared` saves: there may be a thousand frozen
/// copies.
pub(crate) fn signal_below(
    root: i32,
    signal: Signal,
    spared: &HashSet<i32>,
    keep: &dyn Fn(Process) -> bool,
) -> Signalled {
    let mut over = HashSet::new();
    loop {
        let (found, is_sure) = signal_seen(root, signal, spared, keep, &mut over);
        if is_sure || !found.got.is_empty() {
            return found;
        }
    }
}

/// The same in one walk, and whether it has seen everything. The children of a process that has
/// just ended are listed elsewhere now, maybe where this has already looked. `over` are those that
/// had ended before, and are not reaped meanwhile.
///
/// Programs may fork as fast as this walks. So the newest child comes first, the signal before
/// everything that can wait, and a zombie is looked at once.
fn signal_seen(
    root: i32,
    signal: Signal,
    spared: &HashSet<i32>,
    keep: &dyn Fn(Process) -> bool,
    over: &mut HashSet<i32>,
) -> (Signalled, bool) {
    let mut found = Signalled::default();
    let mut is_sure = true;
    let below = |parent| children(parent).into_iter().map(move |pid| (pid, parent));
    let mut left: Vec<(i32, i32)> = below(root).collect();
    while let Some((pid, parent)) = left.pop() {
        if spared.contains(&pid) || (parent == root && over.contains(&pid)) {
            continue;
        }
        // From here on the process that was seen is the one that is signalled, or it has ended.
        let Some((handle, process)) = open_below(pid, parent, root) else {
            is_sure &= Process::of(pid).is_some();
            continue;
        };
        if process.is_over {
            is_sure &= !over.insert(pid);
            continue;
        }
        if keep(process) {
            continue;
        }
        let sent = child::send(&handle, signal as libc::c_int, std::ptr::null());
        left.extend(below(pid));
        let leftover = Leftover {
            pid,
            outer_pid: pid,
            name: name_of(pid),
        };
        match sent {
            Ok(()) => found.got.push(leftover),
            Err(Errno::EPERM) => found.out_of_reach.push(leftover),
            Err(_) => is_sure = false,
        }
    }
    (found, is_sure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    use nix::unistd::Pid;
    use std::process::Command;

    #[test]
    fn a_stopped_process_is_not_ending_and_a_killed_one_is() {
        let mut sleeper = Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("it is there");
        let pid = sleeper.id().cast_signed();
        let until = |signal, change| {
            kill(Pid::from_raw(pid), signal).expect("it is ours");
            let seen = waitid(Id::Pid(Pid::from_raw(pid)), change | WaitPidFlag::WNOWAIT);
            seen.expect("it is ours");
        };
        let is_ending = || is_ending(pid, pid).expect("there are descriptors");
        assert!(!is_ending());
        assert_eq!(stop_of(pid), Some((false, 0)));
        until(Signal::SIGSTOP, WaitPidFlag::WSTOPPED);
        assert!(!is_ending());
        assert_eq!(stop_of(pid), Some((true, libc::SIGSTOP)));
        until(Signal::SIGKILL, WaitPidFlag::WEXITED);
        assert!(is_ending());
        assert_eq!(stop_of(pid), None);
        sleeper.wait().expect("it is ours");
        assert!(is_ending(), "there is no such process");
    }
}
