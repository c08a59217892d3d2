//! The words for kernel objects that a revert does not bring back, and the kinds that refuse a
//! take.
//!
//! A take, `show` and `doctor --pid` read them here, so they say the same. Called by the
//! supervisor and by `inspect`.

use snapshot_core::terms::{Kind, Why, comes_back::refuses_take};

use crate::flags::AllowKind;

/// What the loss means for a person, and what to do: a lowercase fragment.
pub(crate) fn why(kind: Kind, why: Why) -> &'static str {
    match (why, kind) {
        (Why::Contents, _) => {
            "what the branch writes to it stays written, only the offset comes back: keep a copy of the file if you need its contents"
        }
        (Why::Connected, _) => {
            "what the branch sends and receives over this connection stays sent and received: after a revert the peer is ahead, so connect after the snapshot if you can"
        }
        (Why::Elsewhere, Kind::SharedMemory | Kind::Memfd) => {
            "another process has this memory too, so what the branch writes to it stays written: end that process first if it must come back"
        }
        (Why::Elsewhere, _) => {
            "another process has it too, so what the branch changes there stays changed: end that process first if it must come back"
        }
        (Why::OtherEnd, _) => {
            "another process has its other end, so what the branch writes and reads stays written and read"
        }
        (Why::Waiting, Kind::Inotify) => {
            "events that wait in it are lost after a revert: read them before the snapshot"
        }
        (Why::Error, _) => {
            "an error waits in it, which any look at what else waits would take: what the branch reads of it stays read"
        }
        (Why::Waiting, _) => {
            "descriptors are on their way in it: they come back, but what they stand for stays as the branch leaves it"
        }
        (Why::NoPath, _) => {
            "a watch can't be made again, since the path of what it watches is not known: after a revert it reports nothing"
        }
        (Why::Process, Kind::Perf) => {
            "it counts for the live process alone: after a revert it stands still, and must be opened again"
        }
        (Why::Process, _) => {
            "it stands for one process: if the branch sees that process end, it has ended after a revert too"
        }
        (Why::Backlog, _) => {
            "they wait to be accepted: those that the branch accepts are gone after a revert, and the others are cut off by it; let the server accept them first, or their clients try again"
        }
        (Why::Unread, Kind::Terminal) => {
            "they wait to be read from a terminal of the program's own: what the branch reads of them is gone after a revert"
        }
        (Why::Unread, _) => {
            "datagrams wait to be read: those that the branch reads are gone after a revert"
        }
        (Why::Held, Kind::Socket) => {
            "the snapshot holds its address: while there is one, clients still get through after the program has closed it by an exec or a system call of its own; with SO_REUSEADDR set, or where the program may make its path anew, that is not so"
        }
        (Why::Names, _) => {
            "both ends are the program's: what waits in them comes back, their names (getsockname, getpeername) do not"
        }
        (Why::Credentials, _) => {
            "it was made with other rights than the program has now, which the kernel vouches for (SO_PEERCRED): it is left as it is, and what has been sent and received stays so"
        }
        (Why::Filter, _) => {
            "it has a filter of eBPF, which the kernel does not show: the socket stays shared, and the filter as the branch leaves it"
        }
        (Why::State, kind) => state(kind),
        (Why::Large, _) => {
            "it is too large to be copied in a take, so what the branch writes to it stays written: keep a copy if you need its contents"
        }
        (Why::Unwanted, _) => {
            "what the branch writes to it stays written, since --no-files leaves every file alone"
        }
        (Why::Hidden, Kind::Lock) => {
            "this system hides which locks the process holds (/proc), so a revert does not take them again"
        }
        (Why::Hidden, _) => {
            "this system hides which descriptors are the same (kcmp), so what the branch changes there stays changed: allow kcmp in the seccomp profile"
        }
        (Why::Held, Kind::Terminal) => {
            "what has been read and written stays so, and snapshots hold it: if the program closes it by a raw system call, or has the other end itself, that end does not hang up"
        }
        (Why::Held, _) => {
            "it can't be opened a second time, so snapshots hold it: its lock ends with a close by libc, not with one by a raw system call"
        }
        (Why::Input, _) => {
            "it comes from outside: what a branch has read from it is gone after a revert; start the program with its input in a file"
        }
        (Why::Output, _) => {
            "it goes outside: what a branch has written to it stays, so after a revert it is there twice"
        }
        (Why::Ended, _) => {
            "the program ended while its snapshot was made, before its locks were read: a revert does not take them again"
        }
        (Why::Retaken, _) => {
            "they are free from the end of a branch until the revert is done: a process that waits for one gets it first"
        }
    }
}

/// All locks on files together.
pub(crate) const LOCKS: &str = "locks of the process";

/// The name of a System V object, which has no descriptor.
pub(crate) fn system_v(kind: Kind, id: impl std::fmt::Display) -> String {
    match kind {
        Kind::Semaphores => format!("System V semaphores {id} (`ipcs -s`)"),
        _ => format!("System V message queue {id} (`ipcs -q`)"),
    }
}

/// What it means that the kernel gives no access to a state.
fn state(kind: Kind) -> &'static str {
    match kind {
        Kind::IoUring => {
            "its memory is shared with the kernel and can't be copied: what it does goes on as if nothing had been reverted"
        }
        Kind::Userfaultfd => {
            "it does not hear of page faults in a copy, whose memory would be empty there"
        }
        Kind::Gpu => "the memory of the device can't be copied: what is computed there stays so",
        Kind::Kvm => "the state of the virtual machine is the kernel's and can't be copied",
        Kind::Aio => "a copy has no context for its requests: after a revert they never end",
        Kind::Device => {
            "the state of a device can't be copied: what the branch does to it stays done"
        }
        Kind::Semaphores => {
            "the system has one of it for all branches: its values stay as the branch leaves them, and what it undoes as it ends (SEM_UNDO) is undone"
        }
        Kind::MessageQueue => {
            "the system has one of it for all branches: what the branch receives is gone after a revert, and what it sends is there"
        }
        _ => {
            "the kernel gives no access to its state, so what the branch changes there stays changed"
        }
    }
}

/// What refuses a take unless it is allowed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The name in `--allow`.
    pub(crate) allow: AllowKind,
    /// What was found; a descriptor or an address may follow it.
    pub(crate) what: &'static str,
    /// The next step.
    pub(crate) help: &'static str,
}

/// The rule for a kind that refuses a take: without the object, the program would go on from a
/// copy with wrong data.
pub(crate) fn rule(kind: Kind) -> Option<Rule> {
    if !refuses_take(kind) {
        return None;
    }
    let (allow, what, help) = match kind {
        Kind::IoUring => (
            AllowKind::IoUring,
            "an io_uring ring is open",
            "start with --deny io-uring, so that the program does without, or with --allow io-uring to go on without rolling it back",
        ),
        Kind::Aio => (
            AllowKind::Aio,
            "there is a context for asynchronous input and output (io_setup)",
            "start with --allow aio to go on without rolling it back",
        ),
        Kind::Userfaultfd => (
            AllowKind::Userfaultfd,
            "the program handles page faults (userfaultfd)",
            "start with --allow userfaultfd to go on without rolling it back",
        ),
        Kind::Gpu => (
            AllowKind::Gpu,
            "a graphics processor is open",
            "start with --allow gpu to go on without rolling it back",
        ),
        Kind::Kvm => (
            AllowKind::Kvm,
            "a virtual machine is open",
            "start with --allow kvm to go on without rolling it back",
        ),
        _ => return None,
    };
    Some(Rule { allow, what, help })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn everything_is_a_fragment() {
        for kind in Kind::ALL {
            for reason in Why::ALL {
                let text = why(kind, reason);
                assert!(text.starts_with(|first: char| first.is_lowercase()));
                assert!(!text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn whatever_may_be_allowed_is_refused_by_the_same_name() {
        let refused: Vec<AllowKind> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                assert_eq!(rule(kind).is_some(), refuses_take(kind), "{kind:?}");
                let rule = rule(kind)?;
                let name = rule.allow.to_possible_value()?.get_name().to_owned();
                assert_eq!(name, kind.name());
                assert!(rule.help.contains(&format!("--allow {name} ")));
                Some(rule.allow)
            })
            .collect();
        for allow in AllowKind::value_variants() {
            assert!(refused.contains(allow), "{allow:?}");
        }
    }
}
