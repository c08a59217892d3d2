//! Fuzz: the messages between agent and supervisor. Whatever comes is a message that can be
//! said again and means the same, or none; and none is read where the version differs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snapshot_core::wire::{FromAgent, FromSupervisor, MESSAGE_BYTES, Packet, VERSION};

fuzz_target!(|bytes: &[u8]| {
    let mut packet: Packet = [0; MESSAGE_BYTES];
    let length = bytes.len().min(MESSAGE_BYTES);
    packet[..length].copy_from_slice(&bytes[..length]);
    let from_agent = FromAgent::decode(&packet);
    if let Some(message) = from_agent {
        assert_eq!(FromAgent::decode(&message.encode()), Some(message));
    }
    let from_supervisor = FromSupervisor::decode(&packet);
    if let Some(message) = from_supervisor {
        assert_eq!(FromSupervisor::decode(&message.encode()), Some(message));
    }
    // What is shown of it is read, too. None is a word of both sides.
    let _ = format!("{from_agent:?} {from_supervisor:?}");
    assert!(
        from_agent.is_none() || from_supervisor.is_none(),
        "{packet:?}"
    );
    if packet[0] != VERSION {
        assert!(from_agent.is_none() && from_supervisor.is_none());
    }
});
