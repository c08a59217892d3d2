//! Requests for snapshots and the agent's answers: the signal handlers, the library's calls,
//! and the takes that both lead to.
//!
//! Context: AS-SAFE, but for [`library`].

pub(crate) mod answering;
mod context;
pub(crate) mod handlers;
mod library;
mod pending;
