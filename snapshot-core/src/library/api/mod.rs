//! What a program calls. Under a launcher it speaks to the preloaded agent; alone it works in the
//! classic orientation.
//!
//! Context: IN-PROCESS.
#![cfg_attr(
    not(test),
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "called by the program, as any function of a library"
    )
)]

pub(super) mod agent;
pub(crate) mod attempt;
pub(crate) mod error;
mod helper;
pub(crate) mod hooks;
pub(crate) mod listing;
mod own_lock;
pub(crate) mod pending;
pub(crate) mod randomness;
pub(crate) mod report;
pub(crate) mod snapshots;
pub(crate) mod taken;
