//! What stands in the way of a take or a revert, for a person.

use snapshot_core::wire::{Obstacle, Step};

/// What stands in the way of a take: kind, why, help.
pub(super) fn explain(obstacle: Obstacle) -> (&'static str, String, &'static str) {
    match obstacle {
        Obstacle::Unparked(thread) => (
            "thread",
            format!(
                "thread {} (`{}`) can't be stopped: it {}",
                thread.tid,
                thread.name(),
                thread.why.doing()
            ),
            "try again when it does something else",
        ),
        Obstacle::TooManyThreads(most) => (
            "threads",
            format!("the program has more than {most} threads"),
            "take the snapshot while there are fewer",
        ),
        Obstacle::Libc(disagreement) => (
            "libc",
            format!(
                "threads could not be made again on a revert: {}",
                disagreement.what()
            ),
            "take the snapshot while a single thread runs",
        ),
        Obstacle::Failed(step, errno) => (
            "failed",
            format!(
                "the program could not be copied while {}: {}",
                step.doing(),
                std::io::Error::from_raw_os_error(errno)
            ),
            match step {
                Step::Park if errno == nix::libc::EAGAIN => "try again",
                _ => "free some memory, processes or descriptors, and try again",
            },
        ),
    }
}
