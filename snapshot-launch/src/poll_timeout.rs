//! How long a poll may wait: the one place where times are rounded for it.

use std::time::Duration;

use nix::poll::PollTimeout;
use snapshot_core::sys::now_ns;

/// A timeout that does not end before `left` has passed. `None` waits for ever; one longer than
/// a minute ends earlier, and its caller looks again.
pub(crate) fn lasting(left: Option<Duration>) -> PollTimeout {
    left.map_or(PollTimeout::NONE, |left| {
        let milliseconds = left.as_micros().div_ceil(1000);
        PollTimeout::from(u16::try_from(milliseconds).unwrap_or(u16::MAX))
    })
}

/// The same up to a moment on CLOCK_MONOTONIC.
pub(crate) fn until(deadline_ns: Option<u64>) -> PollTimeout {
    lasting(deadline_ns.map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns()))))
}
