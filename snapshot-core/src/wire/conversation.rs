//! What a conversation is: two ends, and a type for the messages of each.
//!
//! Context: AS-SAFE.

use core::fmt::Debug;

use super::{
    packet::{Packet, open},
    verbs,
};

/// What one end of a conversation says.
pub trait Message: Debug + Copy + PartialEq {
    /// As bytes.
    fn encode(&self) -> Packet;

    /// Back from bytes; `None` for what this end does not say in this version.
    fn decode(packet: &Packet) -> Option<Self>;

    /// Whether this end says the verb of this number.
    fn has_verb(number: u8) -> bool;
}

/// One of the conversations between the agent and the supervisor.
pub trait Conversation: Debug {
    /// What the agent's side says: the live process, or a copy of it.
    ///
    /// No message says which process it is about: it is about the one that says it, and the
    /// kernel tells the supervisor which one that is.
    type FromAgent: Message;
    /// What the supervisor says.
    type ToAgent: Message;
}

/// A conversation in which a keeper says that it is there: it keeps the memory of the process
/// that the conversation is with, and shares that one's descriptors for a moment.
pub trait WithKeeper: Conversation {
    /// What it says.
    const KEEPER: Self::FromAgent;
}

/// Whether the agent's side says this in another conversation than `C`.
pub fn is_out_of_turn<C: Conversation>(packet: &Packet) -> bool {
    open(packet).is_some_and(|(verb, _)| verbs::is_agents(verb) && !C::FromAgent::has_verb(verb))
}

/// Makes the type of what one end says: each message has the verb of its name in the end's
/// list of [`verbs`], and behind it its fields, in the order in which they are declared.
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

/// The first of two: names what has only a type.
macro_rules! first {
    ($first:ident, $second:ty) => {
        $first
    };
}

pub(super) use {first, messages};
