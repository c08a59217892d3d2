//! How many descriptors the supervisor may have: it needs two a snapshot.
//!
//! The usual (soft) limit is 1,024, since programs may use `select`. Any process may raise it
//! to the hard limit, hundreds of thousands on most systems. The supervisor does. The program
//! keeps the limit that it would have without the tool.

use std::os::fd::{AsRawFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Descriptors that no snapshot may use. The supervisor needs some to accept calls of the
/// program, and to read in `/proc` which processes a revert ends.
const RESERVE: RawFd = 16;

/// The limits of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(super) soft: rlim_t,
    hard: rlim_t,
}

impl Limits {
    /// Raises this process's own to the hard limit. Returns the old ones.
    pub(super) fn raise() -> std::io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Sets them for this process. Safe between fork and exec.
    pub(super) fn put_back(self) -> std::io::Result<()> {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)?;
        Ok(())
    }
}

/// Whether too few remain after the newest one: the kernel gives the lowest free number.
pub(super) fn are_scarce(newest: &impl AsRawFd) -> bool {
    leaves_fewer_than(RESERVE, newest)
}

/// Whether too few remain even for calls of the program, which may use half of the reserve.
pub(super) fn are_nearly_gone(newest: &impl AsRawFd) -> bool {
    leaves_fewer_than(RESERVE / 2, newest)
}

fn leaves_fewer_than(reserve: RawFd, newest: &impl AsRawFd) -> bool {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((rlim_t::MAX, rlim_t::MAX));
    let soft = RawFd::try_from(soft).unwrap_or(RawFd::MAX);
    newest.as_raw_fd() >= soft.saturating_sub(reserve)
}
