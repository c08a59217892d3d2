//! The arrays of parts and the message headers of a call, in the program's memory, and what is
//! left of them after so many bytes.
//!
//! Context: AS-SAFE.

use core::mem::offset_of;

use crate::arch::{Header, Part};
use crate::sys;

/// An array of addresses and lengths, in the program's memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    pub(super) start: usize,
    pub(super) count: usize,
}

/// What is left of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Split {
    /// The rest of the part that it ended in.
    pub(super) part: Part,
    /// The later parts.
    pub(super) after: Parts,
    pub(super) after_length: usize,
}

impl Parts {
    pub(super) fn new(start: i64, count: i64) -> Self {
        Self {
            start: usize::from_ne_bytes(start.to_ne_bytes()),
            count: usize::from_ne_bytes(count.to_ne_bytes()),
        }
    }

    /// The rest after this many bytes; `None` if there is none.
    pub(super) fn split(&self, moved: usize) -> Option<Split> {
        const AT_ONCE: usize = 8;
        // The kernel takes no more parts.
        if self.count > 1024 {
            return None;
        }
        let mut left = moved;
        let mut split: Option<Split> = None;
        let mut bytes = [0; AT_ONCE * size_of::<Part>()];
        for begin in (0..self.count).step_by(AT_ONCE) {
            let count = AT_ONCE.min(self.count - begin);
            let bytes = bytes.get_mut(..count * size_of::<Part>())?;
            sys::read_own_memory(self.start + begin * size_of::<Part>(), bytes).ok()?;
            for (index, entry) in bytes.chunks_exact(size_of::<Part>()).enumerate() {
                let part = Part {
                    start: word(entry, offset_of!(Part, start))?,
                    length: word(entry, offset_of!(Part, length))?,
                };
                match &mut split {
                    Some(split) => split.after_length += part.length,
                    None if part.length <= left => left -= part.length,
                    None => {
                        let next = begin + index + 1;
                        split = Some(Split {
                            part: Part {
                                start: part.start + left,
                                length: part.length - left,
                            },
                            after: Self {
                                start: self.start + next * size_of::<Part>(),
                                count: self.count - next,
                            },
                            after_length: 0,
                        });
                    }
                }
            }
        }
        split
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let (word, _) = bytes.get(at..)?.split_first_chunk::<8>()?;
    Some(usize::from_ne_bytes(*word))
}

/// The header of a message in the program's memory.
pub(super) fn read_header(address: usize) -> Option<Header> {
    let mut bytes = [0; size_of::<Header>()];
    sys::read_own_memory(address, &mut bytes).ok()?;
    Some(Header {
        name: word(&bytes, offset_of!(Header, name))?,
        name_length: word(&bytes, offset_of!(Header, name_length))? as u64,
        parts: word(&bytes, offset_of!(Header, parts))?,
        count: word(&bytes, offset_of!(Header, count))?,
        control: word(&bytes, offset_of!(Header, control))?,
        control_length: word(&bytes, offset_of!(Header, control_length))?,
        flags: word(&bytes, offset_of!(Header, flags))? as u64,
    })
}

/// A header, followed by the length that the kernel writes.
pub(super) const MESSAGE_BYTES: usize = size_of::<Header>() + 8;

/// The rest of the last of these messages, and where its length is counted.
pub(super) fn rest_of_message(start: usize, count: usize) -> Option<(Split, usize)> {
    let address = start + count.checked_sub(1)? * MESSAGE_BYTES;
    let header = read_header(address)?;
    let counter = address + size_of::<Header>();
    let mut moved = [0; 4];
    sys::read_own_memory(counter, &mut moved).ok()?;
    let parts = Parts {
        start: header.parts,
        count: header.count,
    };
    let split = parts.split(u32::from_ne_bytes(moved) as usize)?;
    Some((split, counter))
}
