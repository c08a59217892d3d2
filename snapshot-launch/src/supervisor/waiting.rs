//! Waiting for a word, and what has been heard.

use nix::libc;
use nix::poll::PollTimeout;
use snapshot_core::sys::now_ns;

pub(super) fn timeout_until(deadline_ns: Option<u64>) -> PollTimeout {
    match deadline_ns {
        None => PollTimeout::NONE,
        Some(at) => {
            let left_ms = at.saturating_sub(now_ns()).div_ceil(1_000_000);
            PollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX))
        }
    }
}

/// Whether a frozen copy can have read this signal: two reach no `signalfd`.
pub(super) fn may_be_passed(signal: i32) -> bool {
    (1..=64).contains(&signal) && !matches!(signal, libc::SIGKILL | libc::SIGSTOP)
}

/// What has been heard of a frozen copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    None,
    One,
    /// There will be none any more that could be heeded.
    Last,
}
