//! A conversation: two ends, and a message type for each.
//!
//! Context: AS-SAFE.

use core::fmt::Debug;

use super::{
    packet::{Packet, open},
    verbs,
};

/// A message of one end of a conversation.
pub trait Message: Debug + Copy + PartialEq {
    /// As bytes.
    fn encode(&self) -> Packet;

    /// From bytes; `None` if this end has no such message in this version.
    fn decode(packet: &Packet) -> Option<Self>;

    /// Whether this end has the verb with this number.
    fn has_verb(number: u8) -> bool;
}

/// One of the conversations between the agent and the supervisor.
pub trait Conversation: Debug {
    /// What the agent's side says: the live process, or a copy of it.
    ///
    /// No message names a process: each is about its sender, and the kernel tells the supervisor
    /// who that is.
    type FromAgent: Message;
    /// What the supervisor says.
    type ToAgent: Message;

    /// Whether a descriptor comes with this message, one exactly. With no other comes any.
    fn brings_descriptor(_message: &Self::FromAgent) -> bool {
        false
    }
}

/// A conversation in which a keeper announces itself. It keeps the memory of the process at the
/// agent's end, and shares its descriptors for a moment.
pub trait WithKeeper: Conversation {
    /// Its message.
    const KEEPER: Self::FromAgent;
}

/// Whether the packet is an agent's message of another conversation than `C`.
pub fn is_out_of_turn<C: Conversation>(packet: &Packet) -> bool {
    open(packet).is_some_and(|(verb, _)| verbs::is_agents(verb) && !C::FromAgent::has_verb(verb))
}

/// Makes the message type of one end. A message is the verb of its name, from the end's list in
/// [`verbs`], and then its fields in the order of their declaration.
macro_rules! messages {
    (
        $(#[$about:meta])*
        pub enum $end:ident {
            $(
                $(#[$doc:meta])*
                $verb:ident
                $(($part:ty))?
                $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })?
            ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $end {
            $(
                $(#[$doc])*
                $verb $(($part))? $({ $($(#[$field_doc])* $field: $type),* })?
            ),*
        }

        impl $crate::wire::conversation::Message for $end {
            fn encode(&self) -> $crate::wire::packet::Packet {
                let verb = match self {
                    $(Self::$verb { .. } => $crate::wire::verbs::$end::$verb,)*
                };
                let mut writer = $crate::wire::packet::Writer::new(verb as u8);
                match self {
                    $(
                        Self::$verb
                            $(($crate::wire::conversation::first!(part, $part)))?
                            $({ $($field),* })?
                        => {
                            $(writer.put($crate::wire::conversation::first!(part, $part));)?
                            $($(writer.put($field);)*)?
                        }
                    )*
                }
                writer.packet
            }

            fn decode(packet: &$crate::wire::packet::Packet) -> Option<Self> {
                let (verb, mut reader) = $crate::wire::packet::open(packet)?;
                Some(match $crate::wire::verbs::$end::from_number(verb)? {
                    $(
                        $crate::wire::verbs::$end::$verb => Self::$verb
                            $((reader.get::<$part>()?))?
                            $({ $($field: reader.get()?),* })?,
                    )*
                })
            }

            fn has_verb(number: u8) -> bool {
                $crate::wire::verbs::$end::from_number(number).is_some()
            }
        }
    };
}

/// Gives the first of two tokens: names a field that has only a type.
macro_rules! first {
    ($first:ident, $second:ty) => {
        $first
    };
}

pub(super) use {first, messages};
