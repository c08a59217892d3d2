//! What is said of a kernel object that a revert does not bring back, and which kinds of
//! them refuse a take.
//!
//! One place for the words: a take, `show` and `doctor --pid` say the same of the same
//! thing. Called by the supervisor and by `inspect`.

use snapshot_core::objects::{Kind, Why};

use crate::flags::AllowKind;

/// Why it will not be as it was: a lowercase fragment for a person.
pub(crate) fn why(kind: Kind, why: Why) -> &'static str {
    match (why, kind) {
        (Why::Contents, _) => "its offset comes back, its contents do not",
        (Why::Connected, _) => "it is connected: what has been sent and received stays so",
        (Why::Elsewhere, Kind::SharedMemory | Kind::Memfd) => {
            "another process has this memory too: what has been written to it stays written"
        }
        (Why::Elsewhere, _) => "another process has it too: what changes there stays changed",
        (Why::OtherEnd, _) => {
            "another process has its other end: what has been written and read stays so"
        }
        (Why::Waiting, Kind::Inotify) => "events that waited to be read are lost",
        (Why::Waiting, _) => {
            "descriptors are on their way in it: they come back, and what they stand for stays as it is left"
        }
        (Why::NoPath, _) => {
            "the path of what it watches is not known, so the watch can't be made again"
        }
        (Why::Process, Kind::Perf) => "it counts for the process that made it, not for its copy",
        (Why::Process, _) => {
            "it stands for one process, and does not stand for another in its place"
        }
        (Why::State, kind) => state(kind),
        (Why::Large, _) => {
            "it is larger than what is copied: both branches write to the same memory"
        }
        (Why::Hidden, _) => {
            "this system does not tell which descriptors are the same one (kcmp), so it stays shared"
        }
    }
}

/// Why a state that nobody is given can't be copied.
fn state(kind: Kind) -> &'static str {
    match kind {
        Kind::IoUring => "its memory is shared with the kernel and can't be copied",
        Kind::Userfaultfd => {
            "page faults of the copy are not told to it, and its memory would be empty"
        }
        Kind::Gpu => "the device's state can't be copied",
        Kind::Kvm => "the machine's state is the kernel's and can't be copied",
        Kind::Aio => "the copy has no context for its requests",
        Kind::Device => "the device's state can't be copied",
        _ => "its state is the kernel's, which gives it to nobody: both branches share it",
    }
}

/// What refuses a take unless it is allowed by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// By which name.
    pub(crate) allow: AllowKind,
    /// What is there, of which a descriptor or a place in memory may be named.
    pub(crate) what: &'static str,
    /// The next step.
    pub(crate) help: &'static str,
}

/// Whether things of a kind refuse a take: a program that goes on from a copy without them
/// would compute with wrong data.
pub(crate) fn refusal(kind: Kind) -> Option<Refusal> {
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
    Some(Refusal { allow, what, help })
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
                let refusal = refusal(kind)?;
                let name = refusal.allow.to_possible_value()?.get_name().to_owned();
                assert_eq!(name, kind.name());
                assert!(refusal.help.contains(&format!("--allow {name} ")));
                Some(refusal.allow)
            })
            .collect();
        for allow in AllowKind::value_variants() {
            assert!(refused.contains(allow), "{allow:?}");
        }
    }
}
