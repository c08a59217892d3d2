//! The calls that are looked at, and the range of a file that each is about to write to.
//!
//! Context: AS-SAFE, in every write of the program to a guarded file.

use crate::sys;

/// A function of libc that writes, or that gives numbers to files, by its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// descriptor, bytes, length.
    Write,
    /// descriptor, bytes, length, offset.
    WriteAt,
    /// descriptor, parts, their number.
    WriteParts,
    /// descriptor, parts, their number, offset, which may be -1.
    WritePartsAt,
    /// descriptor, source, offset there, length.
    SendFile,
    /// source, place of an offset there, descriptor, place of an offset, length.
    CopyRange,
    /// address, length, protection, flags, descriptor.
    Map,
    /// descriptor.
    Close,
    /// first and last descriptor, flags.
    CloseRange,
    /// descriptor.
    Duplicate,
    /// descriptor, another one that it replaces.
    Replace,
    /// The same, and flags.
    ReplaceWith,
}

/// The lower half of an argument: a number of 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at no more"
)]
pub(super) const fn number(argument: usize) -> i32 {
    argument as i32
}

impl Call {
    const ALL: [Self; 12] = [
        Self::Write,
        Self::WriteAt,
        Self::WriteParts,
        Self::WritePartsAt,
        Self::SendFile,
        Self::CopyRange,
        Self::Map,
        Self::Close,
        Self::CloseRange,
        Self::Duplicate,
        Self::Replace,
        Self::ReplaceWith,
    ];

    pub(super) fn of(number: u64) -> Option<Self> {
        Self::ALL
            .get(usize::try_from(number).ok()?)
            .copied()
            .filter(|call| *call as u64 == number)
    }

    /// The descriptor that it writes to, if it writes.
    pub(super) const fn written_to(self, arguments: &[usize; 6]) -> Option<i32> {
        let &[a, _, c, d, e, _] = arguments;
        match self {
            Self::Write
            | Self::WriteAt
            | Self::WriteParts
            | Self::WritePartsAt
            | Self::SendFile => Some(number(a)),
            Self::CopyRange => Some(number(c)),
            Self::Map => {
                let (protection, flags) = (number(c), number(d));
                let is_written_to = protection & libc::PROT_WRITE != 0
                    && flags & libc::MAP_SHARED != 0
                    && flags & libc::MAP_ANONYMOUS == 0;
                if is_written_to { Some(number(e)) } else { None }
            }
            Self::Close
            | Self::CloseRange
            | Self::Duplicate
            | Self::Replace
            | Self::ReplaceWith => None,
        }
    }
}

/// A range of a file that is about to be written to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Range {
    /// Where this call writes through `fd`. `None` if it writes to no file.
    pub(super) fn of(call: Call, fd: i32, arguments: &[usize; 6]) -> Option<Self> {
        let &[_, b, c, d, e, _] = arguments;
        let at = |length: usize, offset: Option<u64>| {
            Some(Self {
                offset: offset?,
                length: length as u64,
            })
        };
        match call {
            Call::Write => at(c, position(fd)),
            Call::WriteAt => at(c, Some(d as u64)),
            Call::WriteParts => at(length_of_parts(b, c), position(fd)),
            Call::WritePartsAt => {
                let offset = match d.cast_signed() {
                    -1 => position(fd),
                    _ => Some(d as u64),
                };
                at(length_of_parts(b, c), offset)
            }
            Call::SendFile => at(d, position(fd)),
            Call::CopyRange => {
                let mut offset = [0; 8];
                let offset = match d {
                    0 => position(fd),
                    place => sys::read_own_memory(place, &mut offset)
                        .ok()
                        .map(|()| u64::from_ne_bytes(offset)),
                };
                at(e, offset)
            }
            Call::Map => Some(Self {
                offset: 0,
                length: u64::MAX,
            }),
            Call::Close
            | Call::CloseRange
            | Call::Duplicate
            | Call::Replace
            | Call::ReplaceWith => None,
        }
    }
}

fn position(fd: i32) -> Option<u64> {
    u64::try_from(sys::lseek(fd, 0, libc::SEEK_CUR).ok()?).ok()
}

/// All bytes of the parts of a `writev`. If they can't be read, the call fails, or is longer than
/// anything.
fn length_of_parts(place: usize, count: usize) -> usize {
    const AT_ONCE: usize = 16;
    const PART: usize = 16;
    const MOST_PARTS: usize = 1024;
    let mut bytes = [0; AT_ONCE * PART];
    let mut length: usize = 0;
    let mut left = count.min(MOST_PARTS);
    let mut place = place;
    while left > 0 {
        let now = left.min(AT_ONCE);
        let some = bytes.get_mut(..now * PART).unwrap_or_default();
        if sys::read_own_memory(place, some).is_err() {
            return usize::MAX;
        }
        for part in some.chunks_exact(PART) {
            let of_this = part.get(8..).and_then(|word| word.try_into().ok());
            length = length.saturating_add(of_this.map_or(0, usize::from_ne_bytes));
        }
        place += now * PART;
        left -= now;
    }
    length
}
