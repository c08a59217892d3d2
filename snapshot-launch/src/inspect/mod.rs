//! What a revert would bring back of a process that runs, and what it would not: looked
//! for in `/proc` alone, so the process need not be in a session, and notices nothing.
//!
//! ```text
//! /proc/PID ─▶ descriptors ┐
//!              sockets     ├─▶ judge ─▶ Inspection
//! /proc/*   ─▶ elsewhere   │   (pure)
//!              memory      │
//!              threads     ┘
//! ```
//!
//! A take knows more: it can ask each descriptor itself. Called by [`crate::doctor`].

mod descriptors;
mod elsewhere;
mod judge;
mod memory;
mod process;
mod sockets;
mod threads;
mod unix_peers;

pub(crate) use process::inspect;
pub use process::{InSession, Inspection, Item, Lost, Refused, Role};
