//! The transferred bytes: a pattern that shows lost and repeated ones.

use std::sync::OnceLock;

/// How much one call moves.
pub const LENGTH: usize = 1 << 20;

/// How much the other end reads or writes at once.
pub const PART: usize = 12_000;

/// The byte at a position; neighbouring pieces of the usual sizes differ.
fn pattern(position: usize) -> u8 {
    (position % 251) as u8
}

pub fn megabyte() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| (0..LENGTH).map(pattern).collect())
}

pub fn wrong_bytes(bytes: &[u8], position: usize) -> usize {
    let is_wrong = |(index, byte): &(usize, &u8)| **byte != pattern((position + index) % LENGTH);
    bytes.iter().enumerate().filter(is_wrong).count()
}
