//! How many descriptors the supervisor may have: it needs two a snapshot.
//!
//! The usual limit is 1,024, for the sake of programs that use `select`, and anybody may
//! raise it up to a second limit, which is hundreds of thousands on most systems. The
//! supervisor does. The program keeps the limit that it would have without the tool.

use std::os::fd::{AsRawFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Descriptors that no snapshot may use. Without any the supervisor could take no call of
/// the program, nor see what is to be ended on a revert: it looks that up in `/proc`.
const RESERVE: RawFd = 16;

/// The limits of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(super) soft: rlim_t,
    hard: rlim_t,
}

impl Limits {
    /// Raises this process's own as far as it goes, and gives what they were.
    pub(super) fn raise() -> std::io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Makes them the calling process's. Safe between fork and exec.
    pub(super) fn put_back(self) -> std::io::Result<()> {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)?;
        Ok(())
    }
}

/// Whether the newest descriptor leaves too few: the kernel gives the lowest number that
/// is free.
pub(super) fn are_scarce(newest: &impl AsRawFd) -> bool {
    leaves_fewer_than(RESERVE, newest)
}

/// Whether it leaves too few for calls of the program, which may use half of what is kept
/// back.
pub(super) fn are_nearly_gone(newest: &impl AsRawFd) -> bool {
    leaves_fewer_than(RESERVE / 2, newest)
}

fn leaves_fewer_than(reserve: RawFd, newest: &impl AsRawFd) -> bool {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((rlim_t::MAX, rlim_t::MAX));
    let soft = RawFd::try_from(soft).unwrap_or(RawFd::MAX);
    newest.as_raw_fd() >= soft.saturating_sub(reserve)
}
