//! Fuzz: bytes of a terminal. The modes that a program has switched on are the same however its
//! output was cut, and can be switched off; what is typed is lost nowhere, whatever the prefix
//! key; a hammering hand reverts no more often than it presses.
#![no_main]

#[path = "../../../snapshot-launch/src/terminal/modes.rs"]
mod modes;
#[path = "../../../snapshot-launch/src/supervisor/interrupts/presses.rs"]
mod presses;

use libfuzzer_sys::fuzz_target;
use modes::{Modes, Set};
use presses::{Press, Presses};
use snapshot_launch::terminal::keys::{Command, Input, Key, Keys};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else {
        return;
    };
    output(bytes, first.into());
    typed(bytes, first);
    pressed(bytes);
});

fn output(bytes: &[u8], piece: usize) {
    let (mut whole, mut cut) = (Modes::default(), Modes::default());
    whole.watch(bytes);
    for piece in bytes.chunks(piece + 1) {
        cut.watch(piece);
    }
    assert_eq!(whole.now(), cut.now());
    // What leads to nothing being on does so in a terminal that has seen all of it.
    let way = whole.go_to(&Set::default());
    cut.watch(&way);
    assert_eq!(cut.now(), &Set::default());
    assert_eq!(whole.go_to(&Set::default()), b"");
}

/// What was typed, by what was understood.
fn retyped(prefix: u8, inputs: &[Input]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for input in inputs {
        let command = match *input {
            Input::Byte(byte) => {
                bytes.extend(std::iter::repeat_n(byte, 1 + usize::from(byte == prefix)));
                continue;
            }
            Input::Command(command) => command,
        };
        bytes.push(prefix);
        bytes.push(match command {
            Command::Take => b's',
            Command::Revert => b'r',
            Command::RevertKeep => b'R',
            Command::Commit => b'c',
            Command::List => b'l',
            Command::Help => b'?',
            Command::Quit => b'q',
            Command::Unknown(other) => other,
        });
    }
    bytes
}

fn typed(bytes: &[u8], first: u8) {
    // Any text of some characters may be meant as a key.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4)]);
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    let name = format!("C-{}", char::from(b'@' + first % 32));
    let Ok(prefix) = name.parse::<Key>() else {
        return;
    };
    let mut keys = Keys::new(prefix);
    let inputs: Vec<Input> = bytes.iter().filter_map(|&byte| keys.next(byte)).collect();
    let mut again = retyped(prefix.byte(), &inputs);
    if again.len() < bytes.len() {
        // The prefix alone, at the end.
        again.push(prefix.byte());
    }
    assert_eq!(again, bytes);
}

/// Each byte is so many milliseconds until the next press; half of the acting ones revert.
fn pressed(bytes: &[u8]) {
    let mut presses = Presses::default();
    let (mut now, mut acted, mut held) = (0, 0, false);
    for &byte in bytes {
        now += u64::from(byte) * 1_000_000;
        if presses.due(now) {
            assert!(held, "nothing was held");
            acted += 1;
        }
        held = match presses.press(now) {
            Press::Act => {
                acted += 1;
                if byte % 2 == 0 {
                    presses.reverted();
                }
                false
            }
            Press::Hold => true,
            Press::Swallow => false,
        };
        assert_eq!(
            presses.due_at().is_some(),
            held,
            "a held press is due some time"
        );
    }
    assert!(acted <= bytes.len(), "more reverts than presses");
}
