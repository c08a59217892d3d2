//! The prefix key and its commands. Pure, so that every sequence can be tested.

use std::str::FromStr;

/// A key that a terminal sends as one control byte, such as `C-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    byte: u8,
}

impl Key {
    /// The byte the terminal sends.
    pub fn byte(self) -> u8 {
        self.byte
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "C-{}", char::from(self.byte | 0x40).to_ascii_lowercase())
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix("C-")
            .or_else(|| text.strip_prefix("c-"))
            .or_else(|| text.strip_prefix('^'))
            .ok_or_else(|| "a key is written as `C-]` or `C-a`".to_owned())?;
        let &[character] = rest.as_bytes() else {
            return Err("a key is one character after `C-`".to_owned());
        };
        let upper = character.to_ascii_uppercase();
        if !(b'@'..=b'_').contains(&upper) {
            return Err(format!("no control key is called `{text}`"));
        }
        match upper {
            b'C' => Err("C-c is the interrupt".to_owned()),
            b'M' | b'J' => Err("that key is Enter".to_owned()),
            b'[' => Err("that key is Escape, and begins every arrow key".to_owned()),
            upper => Ok(Self { byte: upper & 0x1f }),
        }
    }
}

/// What a person asked for with the prefix key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `s`
    Take,
    /// `r`
    Revert,
    /// `R`
    RevertKeep,
    /// `c`
    Commit,
    /// `l`
    List,
    /// `?`
    Help,
    /// `q`
    Quit,
    /// Any other key after the prefix.
    Unknown(u8),
}

/// One item of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A byte for the program.
    Byte(u8),
    /// A command for the tool.
    Command(Command),
}

/// Splits typed bytes into the program's and the tool's.
#[derive(Debug)]
pub struct Keys {
    prefix: Key,
    armed: bool,
}

impl Keys {
    /// Nothing typed yet.
    pub fn new(prefix: Key) -> Self {
        Self {
            prefix,
            armed: false,
        }
    }

    /// The meaning of the next byte; `None` for the prefix itself.
    pub fn next(&mut self, byte: u8) -> Option<Input> {
        if !self.armed {
            if byte == self.prefix.byte() {
                self.armed = true;
                return None;
            }
            return Some(Input::Byte(byte));
        }
        self.armed = false;
        if byte == self.prefix.byte() {
            return Some(Input::Byte(byte));
        }
        Some(Input::Command(match byte {
            b's' => Command::Take,
            b'r' => Command::Revert,
            b'R' => Command::RevertKeep,
            b'c' => Command::Commit,
            b'l' => Command::List,
            b'?' => Command::Help,
            b'q' => Command::Quit,
            other => Command::Unknown(other),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &mut Keys, bytes: &[u8]) -> Vec<Input> {
        bytes.iter().filter_map(|&byte| keys.next(byte)).collect()
    }

    #[test]
    fn keys_parse_and_print() {
        for (text, byte) in [("C-]", 0x1d), ("C-a", 1), ("c-A", 1), ("^B", 2), ("C-@", 0)] {
            let key: Key = text.parse().expect("a key");
            assert_eq!(key.byte(), byte, "{text}");
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for bad in ["", "]", "C-", "C-c", "C-ab", "C-[", "C-m", "C-1"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_arms_for_one_byte() {
        let mut keys = Keys::new("C-]".parse().expect("a key"));
        assert_eq!(
            all(&mut keys, b"a\x1dsb\x1d\x1d\x1dZ"),
            [
                Input::Byte(b'a'),
                Input::Command(Command::Take),
                Input::Byte(b'b'),
                Input::Byte(0x1d),
                Input::Command(Command::Unknown(b'Z')),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn without_a_prefix_every_byte_passes(bytes: Vec<u8>) {
            let mut keys = Keys::new("C-]".parse().expect("a key"));
            let plain: Vec<u8> = bytes.into_iter().filter(|&b| b != 0x1d).collect();
            let passed = all(&mut keys, &plain);
            let expected: Vec<Input> = plain.iter().map(|&b| Input::Byte(b)).collect();
            proptest::prop_assert_eq!(passed, expected);
        }
    }
}
