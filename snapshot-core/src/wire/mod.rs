//! What the agent and the supervisor say to each other: fixed-size messages, one a
//! packet of a SOCK_SEQPACKET socket.
//!
//! There are three conversations, each with a type for what either end may say:
//!
//! | conversation | with | begins |
//! |---|---|---|
//! | [`Caller`] | the live process, which wants something | with its call |
//! | [`Taker`] | the live process in the middle of a take | when a call asks for one |
//! | [`Frozen`] | a copy, from the split until it runs | with the link that comes with a grant |
//!
//! A [`link::Link`] belongs to one of them, so code can't send another's messages over it.
//! Another's message that arrives there does not decode.
//!
//! A message is a verb and numbers, never a pointer, so the sides may have different builds. Both
//! check [`VERSION`] in the first byte. `verbs.rs` has the numbers of all verbs.
//!
//! Context: AS-SAFE.

mod caller;
mod conversation;
mod fields;
mod frozen;
pub mod link;
mod packet;
mod taker;
mod verbs;

pub use self::caller::{Caller, FromCaller, LISTED, ToCaller};
pub use self::conversation::{Conversation, Message, WithKeeper, is_out_of_turn};
pub use self::frozen::{FromFrozen, Frozen, ToFrozen};
pub use self::packet::{MESSAGE_BYTES, Packet, VERSION};
pub use self::taker::{FromTaker, Taker, ToTaker};

#[cfg(test)]
mod tests;
