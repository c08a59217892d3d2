//! The modes that a program switches on in a terminal (`ESC [ ? 1049 h` and the like). They are
//! watched in its output, so that a full-screen program that dies leaves no alternate screen,
//! no hidden cursor and no mouse reports behind.
//!
//! Pure: bytes in, bytes out.

use std::collections::BTreeSet;

/// Modes that outlive their program and disturb the next one. The cursor is visible by default,
/// so the list records when it is hidden.
const WATCHED: [u16; 11] = [1, 47, 1000, 1002, 1003, 1004, 1006, 1015, 1047, 1049, 2004];
const CURSOR: u16 = 25;

/// How many numbers of one sequence count, as many as in a terminal (xterm has 30): so no
/// output makes the list grow without end.
const MOST_NUMBERS: usize = 32;

/// The parser's position in a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Position {
    #[default]
    Text,
    Escape,
    Bracket,
    Private,
}

/// Which watched modes are on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Set {
    on: BTreeSet<u16>,
    cursor_hidden: bool,
}

/// Follows a program's output.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    place: Position,
    number: u16,
    numbers: Vec<u16>,
    set: Set,
}

impl Modes {
    /// Watches bytes that the program has written.
    pub(crate) fn watch(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.place = match (self.place, byte) {
                (_, 0x1b) => Position::Escape,
                (Position::Escape, b'[') => Position::Bracket,
                (Position::Bracket, b'?') => {
                    self.numbers.clear();
                    self.number = 0;
                    Position::Private
                }
                (Position::Private, b'0'..=b'9') => {
                    self.number = self
                        .number
                        .saturating_mul(10)
                        .saturating_add(u16::from(byte - b'0'));
                    Position::Private
                }
                (Position::Private, b';') => {
                    self.note_number();
                    Position::Private
                }
                (Position::Private, b'h' | b'l') => {
                    self.note_number();
                    for number in std::mem::take(&mut self.numbers) {
                        self.set.switch(number, byte == b'h');
                    }
                    Position::Text
                }
                _ => Position::Text,
            };
        }
    }

    /// Ends a number of the sequence.
    fn note_number(&mut self) {
        let number = std::mem::take(&mut self.number);
        if self.numbers.len() < MOST_NUMBERS {
            self.numbers.push(number);
        }
    }

    /// The modes that are on now.
    pub(crate) fn now(&self) -> &Set {
        &self.set
    }

    /// The bytes that lead from the present modes to `wanted`, which then count as present.
    pub(crate) fn go_to(&mut self, wanted: &Set) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut say = |number: u16, on: bool| {
            bytes.extend_from_slice(
                format!("\x1b[?{number}{}", if on { 'h' } else { 'l' }).as_bytes(),
            );
        };
        for &number in self.set.on.difference(&wanted.on) {
            say(number, false);
        }
        for &number in wanted.on.difference(&self.set.on) {
            say(number, true);
        }
        if self.set.cursor_hidden != wanted.cursor_hidden {
            say(CURSOR, !wanted.cursor_hidden);
        }
        self.set = wanted.clone();
        bytes
    }
}

impl Set {
    fn switch(&mut self, number: u16, on: bool) {
        if number == CURSOR {
            self.cursor_hidden = !on;
        } else if WATCHED.contains(&number) {
            if on {
                self.on.insert(number);
            } else {
                self.on.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_on_is_switched_off() {
        let mut modes = Modes::default();
        modes.watch(b"hello \x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[31m\x1b[?7h");
        assert_eq!(
            modes.go_to(&Set::default()),
            b"\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[?25h"
        );
        assert_eq!(modes.go_to(&Set::default()), b"");
    }

    #[test]
    fn a_program_that_cleans_up_leaves_nothing_to_do() {
        let mut modes = Modes::default();
        modes.watch(b"\x1b[?1049h\x1b[?25l");
        modes.watch(b"\x1b[?25h\x1b[?1049l");
        assert_eq!(modes.go_to(&Set::default()), b"");
    }

    #[test]
    fn a_sequence_without_end_takes_no_memory() {
        let mut modes = Modes::default();
        modes.watch(b"\x1b[?25");
        for _ in 0..10_000 {
            modes.watch(b";1000");
        }
        assert!(modes.numbers.capacity() <= 2 * MOST_NUMBERS);
        modes.watch(b"l");
        assert!(modes.now().cursor_hidden);
    }

    proptest::proptest! {
        #[test]
        fn split_anywhere_it_is_the_same(
            text in "(\x1b\\[\\?(1049|25|2004|7)[hl]|[a-z\x1b\\[?;]){0,12}",
            at: proptest::sample::Index,
        ) {
            let bytes = text.as_bytes();
            let (mut whole, mut parts) = (Modes::default(), Modes::default());
            whole.watch(bytes);
            let at = at.index(bytes.len() + 1);
            parts.watch(&bytes[..at]);
            parts.watch(&bytes[at..]);
            proptest::prop_assert_eq!(whole.now(), parts.now());
        }
    }
}
