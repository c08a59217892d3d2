//! Looks at a process: whether we may, in which session it is, and what it has.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{Uid, User, geteuid};
use snapshot_core::kernel::proc_text;
use snapshot_core::sys::SignalSet;
use snapshot_core::terms::OwnUse;

use super::{
    account::Account,
    descriptors, elsewhere,
    inspection::{InSession, Inspection, Launchable, Role},
    threads,
};
use crate::flags::SnapshotFlags;
use crate::processes::{
    family::{children as children_of, name_of as process_name, tracer_in},
    files,
};
use crate::program;
use crate::talk::{
    control, own_use,
    problem::{Problem, exit},
    signals::name_of,
};

/// Looks at a process.
///
/// # Errors
/// No such process, or we may not look into it: what, cause, help.
pub(crate) fn inspect(pid: i32) -> Result<Inspection, Problem> {
    let status =
        files::bytes(format!("/proc/{pid}/status")).map_err(|error| refused(pid, &error))?;
    // A thread's number means its process.
    let pid = proc_text::number(&status, "Tgid:")
        .and_then(|leader| i32::try_from(leader).ok())
        .unwrap_or(pid);
    check_it_runs(pid, &status)?;
    let mine = descriptors::of(pid).map_err(|error| refused(pid, &error))?;
    let all_threads = threads::of(pid).map_err(|error| refused(pid, &error))?;
    let maps = files::bytes(format!("/proc/{pid}/maps")).map_err(|error| refused(pid, &error))?;
    let name = process_name(pid);
    let (session, of_session) = session(pid);
    let mut except = of_session;
    except.extend([pid, nix::unistd::getpid().as_raw()]);

    let flags = SnapshotFlags::from_environment();
    let mut account = Account::new(&flags);
    account.threads(&all_threads);
    let unseen_processes = account.descriptors(pid, &mine, &except);
    account.memory(&maps, &mine, &except);
    account.system_v(pid);
    account.users(&all_threads);
    let children = children_of(pid);
    account.children(pid, &children);
    if let Some(tracer) = tracer_in(&status) {
        account.traced_by(tracer);
    }
    // In a session the handlers are the agent's.
    let trigger = match session {
        None => own_use(flags.signal.number(), &all_threads, &status),
        Some(_) => None,
    };
    Ok(Inspection {
        pid,
        trigger,
        executable: executable(pid, &name),
        name,
        user: fs::metadata(format!("/proc/{pid}")).map_or(0, |metadata| metadata.uid()),
        session,
        threads: all_threads.iter().filter(|one| !one.is_worker).count(),
        children: children.len(),
        rss_bytes: proc_text::resident_bytes(&status),
        refused: account.refused,
        not_rolled_back: account.not_rolled_back,
        rolled_back: account.rolled_back,
        unseen_processes,
    })
}

/// What the process does with the trigger that a session would use here.
fn own_use(trigger: i32, threads: &[threads::Thread], status: &[u8]) -> Option<String> {
    let catches = proc_text::signals(status, "SigCgt:")
        .is_some_and(|set| set.meets(SignalSet::only(trigger)));
    let own = if threads::all_block(threads, trigger) {
        OwnUse::Blocks
    } else if catches {
        OwnUse::Handles
    } else {
        return None;
    };
    Some(own_use::words(&name_of(trigger), own))
}

/// Why we can't look at a process.
fn refused(pid: i32, error: &io::Error) -> Problem {
    let problem = Problem::new(exit::REFUSED, format!("cannot look at process {pid}"));
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}")).map(|metadata| metadata.uid());
            match owner {
                Ok(owner) if owner != geteuid().as_raw() => problem
                    .cause(format!("it belongs to {}", user(owner)))
                    .help("ask as that user, or as root"),
                _ => problem
                    .cause("it has rights that this user has not, or keeps itself from being looked at")
                    .help("ask as root"),
            }
        }
        // Files of a process that just ended answer ESRCH.
        _ if error.kind() == ErrorKind::NotFound
            || error.raw_os_error() == Some(nix::libc::ESRCH) =>
        {
            problem
                .cause("there is no process of that number")
                .help("see `ps` for those that there are")
        }
        _ => problem
            .cause(error)
            .help("see whether /proc is mounted: `mount -t proc proc /proc`"),
    }
}

fn user(number: u32) -> String {
    match User::from_uid(Uid::from_raw(number)) {
        Ok(Some(user)) => format!("`{}`", user.name),
        _ => format!("user {number}"),
    }
}

fn check_it_runs(pid: i32, status: &[u8]) -> Result<(), Problem> {
    let problem = Problem::new(exit::REFUSED, format!("cannot look at process {pid}"));
    if proc_text::field(status, "State:").is_some_and(|state| state.starts_with(b"Z")) {
        // A zombie counts as one thread itself.
        if proc_text::number(status, "Threads:").is_some_and(|threads| threads > 1) {
            return Err(problem
                .cause("its first thread has ended, and by that one the doctor would see nothing of what the others have")
                .help("a session takes snapshots of such a program all the same: launch it in one"));
        }
        return Err(problem
            .cause("it has ended, and waits for its parent to take note of it")
            .help("see `ps` for those that run"));
    }
    // A kernel thread has no memory of its own.
    if proc_text::field(status, "VmSize:").is_none() {
        return Err(problem
            .cause("it is a thread of the kernel's")
            .help("see `ps` for programs"));
    }
    Ok(())
}

fn executable(pid: i32, name: &str) -> Launchable {
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    Launchable::of(program::check_executable(&link, name).map(|()| fs::read_link(&link).ok()))
}

/// A process's session and its copies: what those have counts as its own.
fn session(pid: i32) -> (Option<InSession>, HashSet<i32>) {
    for control::Session { listing, .. } in control::sessions(None).answering {
        let frozen: HashSet<i32> = listing
            .snapshots
            .iter()
            .map(|snapshot| snapshot.frozen_pid)
            .collect();
        let role = if pid == listing.live_pid {
            Role::Program
        } else if pid == listing.launcher_pid {
            Role::Launcher
        } else if frozen.contains(&pid) {
            Role::Snapshot
        } else {
            continue;
        };
        let mut copies = frozen;
        copies.insert(listing.live_pid);
        copies.extend(elsewhere::processes().filter(|&pid| process_name(pid) == "snap-keeper"));
        let session = InSession {
            name: listing.session,
            launcher_pid: listing.launcher_pid,
            role,
        };
        return (Some(session), copies);
    }
    (None, HashSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_its_first_thread_has_not_ended() {
        let words = |threads: u32| {
            let status = format!("State:\tZ (zombie)\nThreads:\t{threads}\n");
            let problem = check_it_runs(7, status.as_bytes()).expect_err("nothing is to be seen");
            format!("{problem:?}")
        };
        assert!(words(1).contains("it has ended"));
        assert!(words(3).contains("its first thread has ended"));
    }
}
