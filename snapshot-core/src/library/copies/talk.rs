//! What a fixture's host and the tests that use it say to each other.
//!
//! Context: AS-SAFE.

use super::place::Place;
use crate::process::notices::WORD_BYTES;
use crate::terms::{Ended, Obstacle};
use crate::wire::{FromTaker, MESSAGE_BYTES, Message};

/// The variable that makes this program a host: where its functions are, and whom it serves.
pub(super) const VARIABLE: &str = "SNAPSHOT_FIXTURE_HOST";

/// What a host is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    /// The function that hosts.
    pub(super) host: Place,
    /// The function that sets up.
    pub(super) set_up: Place,
    /// The process whose end is the host's.
    pub(super) owner: i32,
}

impl Orders {
    pub(super) fn to_text(self) -> String {
        format!("{:x} {:x} {}", self.host.0, self.set_up.0, self.owner)
    }

    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let mut words = text.split(' ');
        let mut place = || usize::from_str_radix(words.next()?, 16).ok().map(Place);
        let (host, set_up) = (place()?, place()?);
        let owner = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self {
            host,
            set_up,
            owner,
        })
    }
}

const MARK: u64 = u64::from_le_bytes(*b"fixture1");

/// A test asks for a copy. Its stdout and stderr come with this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// The host's own function that sets up: both sides mean the same fixture.
    pub(super) set_up: Place,
    /// The function that calls the test.
    pub(super) call: Place,
    /// The test.
    pub(super) test: Place,
}

impl Request {
    pub(super) const BYTES: usize = 32;

    /// Nobody asks this host any more.
    pub(super) const fn end(set_up: Place) -> Self {
        Self {
            set_up,
            call: Place(0),
            test: Place(0),
        }
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let places = [self.set_up, self.call, self.test].map(|place| place.0 as u64);
        let words = [MARK, places[0], places[1], places[2]];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let mut words = bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_ne_bytes(*word));
        if words.next() != Some(MARK) {
            return None;
        }
        let mut place = || usize::try_from(words.next()?).ok().map(Place);
        Some(Self {
            set_up: place()?,
            call: place()?,
            test: place()?,
        })
    }
}

/// What became of a test's copy. A word of the copy's may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has ended, and so many things could not be put back behind it.
    Ended { ended: Ended, not_restored: u32 },
    /// There was no copy.
    Refused(Obstacle),
    /// This is another fixture's host.
    Stranger,
}

impl Answer {
    /// The answer's head. The last four bytes are the length of the word behind it.
    pub(super) const BYTES: usize = 16 + MESSAGE_BYTES;

    pub(super) fn encode(self, word_length: usize) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let mut set = |at: usize, part: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        };
        match self {
            Self::Ended {
                ended,
                not_restored,
            } => {
                let (how, number) = ended.to_numbers();
                set(0, &[b'e', how]);
                set(4, &number.to_ne_bytes());
                set(8, &not_restored.to_ne_bytes());
            }
            Self::Refused(obstacle) => {
                set(0, b"r");
                set(16, &FromTaker::Hindered(obstacle).encode());
            }
            Self::Stranger => set(0, b"s"),
        }
        let length = u32::try_from(word_length.min(WORD_BYTES)).unwrap_or(0);
        set(12, &length.to_ne_bytes());
        bytes
    }

    /// The answer, and the length of the word.
    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Option<(Self, usize)> {
        let number = |at: usize| Some(i32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let answer = match bytes[0] {
            b'e' => Self::Ended {
                ended: Ended::from_numbers(bytes[1], number(4)?)?,
                not_restored: number(8)?.cast_unsigned(),
            },
            b'r' => match FromTaker::decode(bytes.get(16..)?.first_chunk()?)? {
                FromTaker::Hindered(obstacle) => Self::Refused(obstacle),
                _ => return None,
            },
            b's' => Self::Stranger,
            _ => return None,
        };
        let length = usize::try_from(number(12)?).ok()?;
        (length <= WORD_BYTES).then_some((answer, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::Step;

    #[test]
    fn what_is_said_is_understood() {
        let orders = Orders {
            host: Place(usize::MAX),
            set_up: Place(0x10),
            owner: 77,
        };
        assert_eq!(Orders::from_text(orders.to_text().as_bytes()), Some(orders));
        assert_eq!(Orders::from_text(b"1 2"), None);
        assert_eq!(Orders::from_text(b"1 2 3 4"), None);
        let request = Request {
            set_up: Place(1),
            call: Place(usize::MAX),
            test: Place(3),
        };
        assert_eq!(Request::decode(&request.encode()), Some(request));
        assert_eq!(Request::decode(&[0; Request::BYTES]), None);
        let ended = Answer::Ended {
            ended: Ended::Killed(11),
            not_restored: 2,
        };
        let refused = Answer::Refused(Obstacle::Failed(Step::Split, libc::EAGAIN));
        for answer in [ended, refused, Answer::Stranger] {
            assert_eq!(Answer::decode(&answer.encode(9)), Some((answer, 9)));
        }
        assert_eq!(Answer::decode(&[0; Answer::BYTES]), None);
    }
}
