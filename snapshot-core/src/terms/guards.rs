//! Guarded files: big files that ask the journal before their old bytes are overwritten.
//!
//! The journal marks a file as guarded in memory that it shares with the program, and the
//! program's write functions look there. This is the layout of that memory, and the question
//! that they ask. The program only reads the memory, and the journal only writes it: what one
//! of them does can't mislead the other.
//!
//! ```text
//! word 0        how many slots are in use
//! word 1        how often a guarded file has got a descriptor, or another file is guarded: begun
//! word 2        the same: done. With the same number in both, it isn't happening now
//! from word 8   the slots: device, inode, size, place of the bitmap; an inode of 0 is an empty slot
//! from 4096     the bitmaps: a bit a unit of the file, set once the unit is kept
//! ```
//!
//! Context: AS-SAFE.

/// How many files can be guarded at a time.
pub const SLOTS: usize = 64;
/// Words of the three numbers.
pub const USED: usize = 0;
/// See above.
pub const BEGUN: usize = 1;
/// See above.
pub const DONE: usize = 2;
/// The first word of the first slot.
pub const FIRST_SLOT: usize = 8;
/// Words of a slot.
pub const SLOT_WORDS: usize = 4;
/// Where the bitmaps begin, in bytes.
pub const BITMAPS: usize = 4096;
/// The length of the memory: room for the bitmaps of a quarter of a terabyte.
pub const BYTES: usize = BITMAPS + (2 << 20);
/// What is kept at a time. Copying so much takes 7 us on ext4, which is less than the question does;
/// 64 KiB take 24 us. What is written at random, by a database above all, is mostly smaller.
pub const UNIT: u64 = 16 * 1024;

/// The command of ioctl(2) by which a write function asks the journal to keep a range of a file:
/// descriptor, this, offset, length. No filesystem has it.
pub const KEEP_RANGE: u32 = 0x4053_c5a7;

/// The units that a range of bytes touches, of a file that had `size` bytes: the first one, and
/// the one behind the last.
pub const fn units(offset: u64, length: u64, size: u64) -> (u64, u64) {
    let end = offset.saturating_add(length);
    let end = if end < size { end } else { size };
    if offset >= end {
        return (0, 0);
    }
    (offset / UNIT, end.div_ceil(UNIT))
}

const _: () = assert!((FIRST_SLOT + SLOTS * SLOT_WORDS) * 8 <= BITMAPS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_touches_the_units_below_the_size() {
        assert_eq!(units(0, 1, 10), (0, 1));
        assert_eq!(units(UNIT - 1, 2, 10 * UNIT), (0, 2));
        assert_eq!(units(UNIT, UNIT, 10 * UNIT), (1, 2));
        assert_eq!(units(9 * UNIT, 5 * UNIT, 9 * UNIT + 1), (9, 10));
        assert_eq!(units(10 * UNIT, 1, 10 * UNIT), (0, 0));
        assert_eq!(units(3, 0, 10), (0, 0));
        assert_eq!(units(1, u64::MAX, 3 * UNIT), (0, 3));
    }
}
