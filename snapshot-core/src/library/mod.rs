//! The functions that a program calls, and snapshots without a launcher.
//!
//! Context: IN-PROCESS, but for what says otherwise.

#[cfg(feature = "std")]
mod alone;
#[cfg(feature = "std")]
pub(crate) mod api;
pub mod bridge;
#[cfg(feature = "std")]
pub(crate) mod error;
#[cfg(feature = "std")]
pub(crate) mod report;
