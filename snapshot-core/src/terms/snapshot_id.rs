//! The number of a snapshot.

/// The number of a snapshot: `#1`, `#2`, ... Never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(u32);

impl SnapshotId {
    /// The snapshot of this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number, as in commands and events.
    pub const fn number(self) -> u32 {
        self.0
    }
}

#[allow(clippy::disallowed_macros, reason = "for people: no handler shows one")]
impl core::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.0)
    }
}
