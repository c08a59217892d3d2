//! What a revert would bring back of a running process, and what not. Looks from outside, so
//! the process need not be in a session, and notices nothing.
//!
//! ```text
//! /proc/PID ─▶ descriptors ┐
//!              sockets     ├─▶ facts ─▶ comes_back ─▶ account ─▶ Inspection
//! /proc/*   ─▶ elsewhere   │            (the rule, in snapshot-core)
//!              memory      │
//!              threads     ┘
//! ```
//!
//! A take knows more: it can ask each descriptor itself. Called by [`crate::doctor`].

mod account;
mod descriptors;
mod elsewhere;
mod facts;
mod inspection;
mod memory;
mod process;
mod sockets;
mod threads;
mod unix_peers;

pub use inspection::{InSession, Inspection, Item, Launchable, Lost, Refused, Role};
pub(crate) use process::inspect;
