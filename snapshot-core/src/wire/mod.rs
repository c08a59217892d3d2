//! What the agent and the supervisor say to each other: fixed-size messages, one a
//! packet of a SOCK_SEQPACKET socket.
//!
//! A message is a verb and its numbers, never a pointer, so that either side may be of
//! another build. Both sides check [`VERSION`] in the first byte.
//!
//! Context: AS-SAFE.

pub mod link;
mod messages;
mod packet;

pub use self::messages::*;

/// Changes whenever a message changes its meaning.
pub const VERSION: u8 = 7;

/// The length of every message.
pub const MESSAGE_BYTES: usize = 256;

/// One message, encoded.
pub type Packet = [u8; MESSAGE_BYTES];

#[cfg(test)]
mod tests;
