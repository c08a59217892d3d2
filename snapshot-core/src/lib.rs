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
//! A room names what is below it, never above:
//!
//! - `library`: what a program calls, and how its snapshots work without a launcher;
//! - `acts`: park, split, freeze, revive, in the order of happening; `take` tells the story;
//! - `objects`, `process`, `threads`: what a process is made of, recorded and restored;
//! - `wire`: what the agent and the supervisor say to each other;
//! - `kernel`: a reader for each kind of `/proc` file, and memory of the engine's own;
//! - `terms`: plain data that all may name;
//! - `sys`, `arch`: system calls, and what differs by processor.
//!
//! All but `library` is the launcher's and the agent's business, hidden here and without a promise.
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

pub use terms::{Ended, SnapshotId};
#[doc(hidden)]
pub mod acts;
mod arch;
#[doc(hidden)]
pub mod kernel;
#[doc(hidden)]
pub mod library;
#[doc(hidden)]
pub mod objects;
#[doc(hidden)]
pub mod process;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod terms;
#[doc(hidden)]
pub mod threads;
#[doc(hidden)]
pub mod wire;

#[cfg(feature = "std")]
pub use library::api::attempt::{
    AttemptError, Cause, Deadline, attempt, attempt_for, reason_for, revert_after, revert_with,
};
#[cfg(feature = "std")]
pub use library::api::error::SnapshotError;
#[cfg(feature = "std")]
pub use library::api::hooks::{Hook, on_revert, on_snapshot};
#[cfg(feature = "std")]
pub use library::api::listing::{depth, is_in_snapshot, list};
#[cfg(feature = "std")]
pub use library::api::pending::{RootOnly, on_commit, root_only};
#[cfg(feature = "std")]
pub use library::api::randomness::{reseed, reseeds, reverts};
#[cfg(feature = "std")]
pub use library::api::report::{Arrival, Phases, Report, Rollback};
#[cfg(feature = "std")]
pub use library::api::snapshots::{
    Snapshot, commit, drop_snapshot, install_handlers, last_phases, revert, revert_to, rollback,
    snapshot,
};
#[cfg(feature = "std")]
pub use library::api::taken::Taken;
#[cfg(feature = "std")]
#[doc(hidden)]
pub use library::copies::fork_server::persistent_unmarked;
#[cfg(feature = "std")]
pub use library::copies::{each::try_each, fixture::Fixture, fork_server::persistent};
pub use threads::restart::restart_interrupted_call;
