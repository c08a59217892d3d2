//! Fuzz: the messages between agent and supervisor. Whatever comes is a message of one end of
//! one conversation, which can be said again and means the same, or none; and none is read where
//! the version differs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snapshot_core::wire::{
    Caller, Conversation, Frozen, MESSAGE_BYTES, Message, Packet, Taker, VERSION, is_out_of_turn,
};

/// Whether the packet is a message of this end.
fn is_said<M: Message>(packet: &Packet) -> bool {
    let message = M::decode(packet);
    if let Some(message) = message {
        assert_eq!(M::decode(&message.encode()), Some(message));
    }
    // What is shown of it is read, too.
    let _ = format!("{message:?}");
    message.is_some()
}

/// How many ends of this conversation say the packet.
fn ends_of<C: Conversation>(packet: &Packet) -> usize {
    let is_agents = is_said::<C::FromAgent>(packet);
    assert!(!is_agents || !is_out_of_turn::<C>(packet), "{packet:?}");
    usize::from(is_agents) + usize::from(is_said::<C::ToAgent>(packet))
}

fuzz_target!(|bytes: &[u8]| {
    let mut packet: Packet = [0; MESSAGE_BYTES];
    let length = bytes.len().min(MESSAGE_BYTES);
    packet[..length].copy_from_slice(&bytes[..length]);
    let ends = ends_of::<Caller>(&packet) + ends_of::<Taker>(&packet) + ends_of::<Frozen>(&packet);
    // None is a word of two.
    assert!(ends <= 1, "{packet:?}");
    if packet[0] != VERSION {
        assert_eq!(ends, 0);
    }
});
