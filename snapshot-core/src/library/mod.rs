//! What a program calls, and how its snapshots work where there is no launcher.
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
