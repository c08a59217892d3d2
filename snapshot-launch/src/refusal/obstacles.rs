//! The words for obstacles to a take or a revert.

use std::io;

use nix::libc;
use snapshot_core::terms::{Disagreement, Hindrance, Obstacle, Part, Step};

use super::Refusal;
use crate::shortage;
use crate::talk::counted::counted;

/// The refusal for an obstacle to a take.
pub(crate) fn explain(obstacle: Obstacle) -> Refusal {
    match obstacle {
        Obstacle::Unparked(thread) => Refusal::new(
            "thread",
            format!(
                "thread {} (`{}`) can't be stopped: it {}",
                thread.tid,
                thread.name(),
                thread.why.doing()
            ),
            match thread.why {
                Hindrance::BlocksAll => {
                    "have the program leave libc's own signals (32 and 33) open"
                }
                Hindrance::NotSignalled => shortage::HELP_WITH_SIGNALS,
                Hindrance::Stopped => "let it go on: `kill -CONT`, or detach the debugger",
                Hindrance::Silent | Hindrance::InKernel(_) => {
                    "try again when it does something else"
                }
            },
        ),
        Obstacle::TooManyThreads(most) => Refusal::new(
            "threads",
            format!("the program has more than {most} threads"),
            "take the snapshot while there are fewer",
        ),
        Obstacle::Libc(disagreement) => Refusal::new(
            "libc",
            format!(
                "threads could not be made again on a revert: {}",
                disagreement.what()
            ),
            match disagreement {
                Disagreement::OwnRseq => {
                    "leave restartable sequences to libc: start without glibc.pthread.rseq=0 in GLIBC_TUNABLES"
                }
                _ => "take the snapshot while a single thread runs",
            },
        ),
        Obstacle::Failed(Step::Park, nix::libc::ENOENT) => Refusal::new(
            "proc",
            "the program sees no /proc: it has changed its root directory, or its mounts"
                .to_owned(),
            "mount /proc there, or take snapshots before that",
        ),
        Obstacle::Failed(step, errno) => Refusal::failed(
            format!(
                "the program could not be copied while {}: {}",
                step.doing(),
                std::io::Error::from_raw_os_error(errno)
            ),
            help_of(step, errno),
        ),
    }
}

/// Why a copy can't come back now.
pub(crate) fn without_room(obstacle: Obstacle) -> Refusal {
    let Obstacle::Failed(step, errno) = obstacle else {
        return explain(obstacle);
    };
    let what = match step {
        Step::Split => "there is no room for another copy of it",
        _ => "there is no room for its threads",
    };
    let error = std::io::Error::from_raw_os_error(errno);
    Refusal::failed(format!("{what}: {error}"), help_of(step, errno))
}

/// What to do about a step that failed with an errno.
fn help_of(step: Step, errno: i32) -> &'static str {
    match errno {
        libc::EAGAIN if step == Step::Park => {
            "try again: new threads came up faster than they could be stopped"
        }
        libc::EPERM | libc::EACCES | libc::ENOSYS => {
            "a security policy (seccomp, an LSM, a mount option of /proc) forbids a call that a snapshot needs: allow it, or run without the policy"
        }
        _ => shortage::help(errno)
            .unwrap_or("this is a defect of the tool: please report it with the line above"),
    }
}

/// What a revert could not put back, and the possible reason.
pub(crate) fn not_restored(part: Part, count: u32) -> String {
    let (what, why) = match part {
        Part::Threads => (
            "registration of a thread",
            "the program has fewer rights than it had, or a limit is lower",
        ),
        Part::Memory => (
            "area of shared memory",
            "its file is smaller or can't be written to any more",
        ),
        Part::MemoryFiles => (
            "memory file",
            "a seal forbids it, or there is no memory left",
        ),
        Part::Files => (
            "file",
            "it can't be opened again, or not where the program was in it",
        ),
        Part::Counters | Part::TimerDescriptors | Part::SignalDescriptors => (
            "counter, timer or signal descriptor",
            "a limit on descriptors or memory is lower",
        ),
        Part::Watches => (
            "watched file",
            "it is not there any more, or a limit of inotify is reached",
        ),
        Part::Pipes => ("pipe", "a limit on descriptors or on pipes is lower"),
        Part::Sockets => (
            "socket or option of a socket",
            "its address is in use by now, or the right to set it was given up",
        ),
        Part::Terminals => (
            "terminal",
            "it has hung up, or the program is not in front of it",
        ),
        Part::Interests => (
            "registration with epoll",
            "what it waits for could not be put back either",
        ),
        Part::Flags => (
            "flag of an open file",
            "the program has fewer rights than it had",
        ),
        Part::Locks => ("lock on a file", "another process has taken it meanwhile"),
        Part::Closed => (
            "connection or pipe that the branch had closed",
            "nothing could be put in its place",
        ),
        Part::Process => (
            "timer, waiting signal or locked area of memory",
            "a limit is lower than at the snapshot",
        ),
        Part::Unrecorded => ("thing", "the take has named it"),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    format!("not put back: {}; {why}", counted(count, what))
}

/// Why a look at the program refuses a take: one that has failed may have missed something.
pub(crate) fn unseen(error: &io::Error) -> Refusal {
    let why = format!("the supervisor can't see what the program has: {error}");
    let help = shortage::help_for(error).unwrap_or("let it look into /proc");
    Refusal::failed(why, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_words() {
        for part in Part::ALL {
            assert!(
                not_restored(part, 1).starts_with("not put back: 1 "),
                "{part:?}"
            );
        }
        assert_eq!(
            not_restored(Part::Locks, 2),
            "not put back: 2 locks on a file; another process has taken it meanwhile"
        );
    }

    #[test]
    fn trying_again_is_advised_only_where_it_can_help() {
        for errno in 1..133 {
            let Refusal { help, .. } = explain(Obstacle::Failed(Step::Record, errno));
            assert!(!help.contains("try again"), "{errno}: {help}");
        }
    }
}
