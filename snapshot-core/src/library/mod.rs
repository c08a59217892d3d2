//! The functions that a program calls, and snapshots and copies without a launcher.
//!
//! Context: IN-PROCESS, but for what says otherwise.

#[cfg(feature = "std")]
mod alone;
#[cfg(feature = "std")]
pub(crate) mod api;
pub mod bridge;
#[cfg(feature = "std")]
pub(crate) mod copies;
#[cfg(feature = "std")]
mod entry;
