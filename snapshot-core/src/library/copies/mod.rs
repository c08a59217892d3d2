//! Copies of one moment of the program, as many as wanted: for inputs to be tried, and for tests that
//! share what is expensive to set up.
//!
//! Context: IN-PROCESS, but for the servers, which are AS-SAFE.
#![cfg_attr(
    not(test),
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "called by the program, as any function of a library"
    )
)]

mod client;
pub(crate) mod each;
mod ending;
pub(crate) mod fixture;
pub(crate) mod fork_server;
pub(super) mod host;
pub(super) mod place;
mod serving;
mod talk;
