//! What comes back at a revert, and why something does not: one rule for every kind of object.
//! [`descriptor`] has all of it; a copy asks for its parts.
//!
//! Context: AS-SAFE.

mod descriptors;
mod files;
mod memory;
mod reasons;
mod streams;
#[cfg(test)]
mod tests;

pub use descriptors::{Facts, Watches, descriptor, interests, refuses_take, unrecorded};
pub use files::{File, Terminal, locks, unread_locks};
pub use memory::{FileContents, Mapping, Room, Rooms};
pub use reasons::{ComesBack, Reasons, Sharing};
pub use streams::{OtherEnd, Pair, Pipe, Socket, SocketState};
