//! Which descriptors have a guarded file, remembered by their numbers: to ask the kernel at each
//! write would take as long as the write.
//!
//! What is remembered holds until a guarded file may have got another descriptor. There are four
//! ways for it:
//!
//! - *an open for writing, or another file becomes guarded:* the journal does both. It counts in
//!   the shared memory, before it begins and when it is done.
//! - *a duplicate:* `dup` and its kind are made here if the original may be a guarded file, and
//!   counted in the same way.
//! - *a message, or another process:* the descriptor gets a number that was free, so a close has
//!   gone before; that forgets the number.
//! - *a fork:* the child has its own numbers and its own copy of this table.
//!
//! Everything remembered has the two counts of when it was looked up, and is worth nothing with
//! others. While one of the four is under way, nothing is remembered.
//!
//! Limits: a number that is closed by a direct system call, or by one thread in the middle of
//! another thread's write to it, isn't forgotten. It matters if the number then gets a guarded file
//! by a message, or by another direct call. The same goes for processes that share descriptors
//! and no memory, or memory and no descriptors, as a child of `vfork` that writes.
//!
//! Context: AS-SAFE, in every write of the program.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::terms::guards::SLOTS;

/// Descriptors above are looked up each time.
const MOST: usize = 4096;

/// Bits of the two counts, and of what a descriptor has.
const COUNT_BITS: u32 = 28;
const FOUND_BITS: u32 = 64 - 2 * COUNT_BITS;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// By number: both counts, and what was found. Nothing found is 0.
static KNOWN: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
/// How many duplicates have been begun in this process.
static DUPLICATES: AtomicU64 = AtomicU64::new(1);
/// How many are under way.
static UNDER_WAY: AtomicU32 = AtomicU32::new(0);

/// What a descriptor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No guarded file.
    Other,
    /// That of a slot.
    Slot(usize),
}

impl Found {
    const fn to_bits(self) -> u64 {
        match self {
            Self::Other => 1,
            Self::Slot(index) => index as u64 + 2,
        }
    }

    fn of_bits(bits: u64) -> Option<Self> {
        match bits {
            0 => None,
            1 => Some(Self::Other),
            slot => usize::try_from(slot - 2).ok().map(Self::Slot),
        }
    }
}

const _: () = assert!(SLOTS + 2 < 1 << FOUND_BITS);

/// The counts of one moment at which no guarded file is about to get a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// Now, with the journal's count; `None` if such a thing is under way.
pub(super) fn now(count_of_journal: Option<u64>) -> Option<Moment> {
    let count_of_journal = count_of_journal?;
    // Acquire, in the order of the code: a duplicate that is missed here has not begun before it.
    let duplicates = DUPLICATES.load(Ordering::Acquire);
    if UNDER_WAY.load(Ordering::Acquire) != 0 {
        return None;
    }
    let counts = (count_of_journal & COUNT) << COUNT_BITS | duplicates & COUNT;
    Some(Moment(counts << FOUND_BITS))
}

fn place(fd: i32) -> Option<&'static AtomicU64> {
    KNOWN.get(usize::try_from(fd).ok()?)
}

/// What is remembered of a descriptor.
pub(super) fn known(fd: i32, now: Moment) -> Option<Found> {
    // Acquire: pairs with `remember`.
    let known = place(fd)?.load(Ordering::Acquire);
    let bits = known ^ now.0;
    (bits >> FOUND_BITS == 0).then(|| Found::of_bits(bits))?
}

/// Remembers what a descriptor has. It was looked up after that moment.
pub(super) fn remember(fd: i32, moment: Moment, found: Found) {
    if let Some(place) = place(fd) {
        // Release: whoever finds this sees what was true then.
        place.store(moment.0 | found.to_bits(), Ordering::Release);
    }
}

/// A descriptor is about to be closed.
pub(super) fn forget(fd: i32) {
    if let Some(place) = place(fd) {
        // Release: before the close, and so before the number is another's.
        place.store(0, Ordering::Release);
    }
}

/// Many descriptors are about to be closed.
pub(super) fn forget_all() {
    DUPLICATES.fetch_add(1, Ordering::AcqRel);
}

/// Makes a duplicate of a guarded file.
pub(super) fn while_duplicating<T>(act: impl FnOnce() -> T) -> T {
    // In this order: who doesn't see that it is under way sees another count afterwards.
    UNDER_WAY.fetch_add(1, Ordering::AcqRel);
    DUPLICATES.fetch_add(1, Ordering::AcqRel);
    let done = act();
    UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the table is the process's.
    #[test]
    fn what_is_remembered_holds_until_something_happens() {
        let then = now(Some(7)).expect("nothing is under way");
        assert_eq!(known(900, then), None);
        remember(900, then, Found::Other);
        remember(901, then, Found::Slot(SLOTS - 1));
        assert_eq!(known(900, then), Some(Found::Other));
        assert_eq!(known(901, then), Some(Found::Slot(SLOTS - 1)));
        remember(-1, then, Found::Other);
        assert_eq!(known(-1, then), None);
        forget(900);
        assert_eq!(known(900, then), None);
        assert_eq!(known(901, then), Some(Found::Slot(SLOTS - 1)));
        let opened = now(Some(8)).expect("nothing is under way");
        assert_eq!(known(901, opened), None);
        while_duplicating(|| assert_eq!(now(Some(7)), None));
        let duplicated = now(Some(7)).expect("nothing is under way");
        assert_eq!(known(901, duplicated), None);
        remember(901, then, Found::Other);
        assert_eq!(known(901, duplicated), None);
        assert_eq!(now(None), None);
    }
}
