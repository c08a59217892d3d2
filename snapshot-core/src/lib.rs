//! Snapshots of the calling process: take one, do anything, and go on from it.
//!
//! ```no_run
//! use snapshot_core::{Arrival, snapshot};
//!
//! match snapshot()? {
//!     Arrival::Live(id) => println!("snapshot {id} is there; now for the risky part"),
//!     Arrival::Reverted(report) => println!("back again: the branch {}", report.ended),
//! }
//! # Ok::<(), snapshot_core::SnapshotError>(())
//! ```
//!
//! # Theory of operation
//! A snapshot is a copy of the process, made by the kernel's copy-on-write, that sleeps.
//! *Park* brings every thread to a known point; *split* makes the copy; the frozen side
//! *records* what the kernel shares between the two (open files and all that descriptors
//! stand for) or forgets in a copy (timers, thread registrations). On a revert the live branch ends, the frozen copy
//! *revives*, puts the records back and returns from the very call, or signal handler,
//! that took the snapshot.
//!
//! Under `cargo snapshot` or `snapshot-launch` the copy freezes and the caller lives on,
//! with its pid; a supervisor alone decides who wakes. In a program that runs by itself
//! the caller freezes and a child lives on ([`Rollback`] tells which).
//!
//! # Limits
//! The contents of files, what has left through a connection, and what another process has
//! as well stay as the dead branch left them. Revived threads have new ids, except in a session in namespaces of its
//! own. Nothing survives a reboot.
//!
//! # Rooms
//! In the order in which things happen: `park`, `split`, `freeze`, `revive`, with
//! `threads` (what is known of each, and how its interrupted call goes on), `identity` and
//! `objects` (record and restore), all told by `take` (under a launcher) and `classic`
//! (alone); `api` is what a program calls; `timeline` says which snapshots there are;
//! `children` is the table of those that outlive a revert, `pidfd` tells them apart,
//! `cpu_times` knows what they have used, `own_processes` which are the session's;
//! `wire`, `link` and `bridge` carry messages; `procfs` and `proc_text` read the kernel's
//! texts, `unix_diag` its word on local sockets; `tunables` are glibc's settings for huge pages; `sys` and `arch` hold the system
//! calls.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(
    not(feature = "std"),
    allow(
        dead_code,
        reason = "the agent uses the engine without its classic orientation"
    )
)]
// The engine is AS-SAFE, but for what says otherwise below.
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::expect_used,
        clippy::unwrap_used
    )
)]

mod arch;
mod dontfork;
mod freeze;
mod identity;
mod ids;
mod keeper;
pub mod objects;
mod park;
mod procfs;
mod records;
mod revive;
mod room;
mod split;

pub mod bridge;
pub mod children;
pub mod cpu_times;
pub mod filter_trial;
pub mod lineage;
pub mod link;
pub mod own_processes;
pub mod pidfd;
pub mod proc_text;
pub mod reserve;
pub mod sys;
pub mod take;
pub mod threads;
pub mod timing;
pub mod tunables;
pub mod unix_diag;
pub mod wire;

#[cfg(feature = "std")]
mod api;
#[cfg(feature = "std")]
mod classic;
#[cfg(feature = "std")]
mod handlers;
#[cfg(feature = "std")]
pub mod timeline;

#[cfg(feature = "std")]
pub use api::{
    Arrival, BranchEnd, Phases, Report, Rollback, Snapshot, SnapshotError, commit, depth,
    drop_snapshot, install_handlers, is_in_snapshot, last_phases, list, revert, revert_to,
    rollback, snapshot,
};
pub use threads::restart::restart_interrupted_call;

/// The number of a snapshot: `#1`, `#2`, ... Never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(u32);

impl SnapshotId {
    /// The snapshot of this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number, as commands and events have it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

#[allow(clippy::disallowed_macros, reason = "for people: no handler shows one")]
impl core::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.0)
    }
}
