//! What a program's library hears of its snapshots, and what a branch leaves for its successor, in
//! memory that no revert rolls back. The session's supervisor, or the program itself if it is alone,
//! writes the numbers.
//!
//! Context: AS-SAFE. Nothing but atomics, and sleeping on them.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::sys;

/// The longest word, in bytes.
pub const WORD_BYTES: usize = 4096;

/// How often something has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    changes: u32,
    reverts: u32,
}

/// All zero is the beginning.
#[repr(C)]
pub struct Notices {
    /// Counts the reverts, and the times at which the last snapshot has gone.
    changes: AtomicU32,
    /// Counts the reverts.
    reverts: AtomicU32,
    /// How long the word is; 0 if there is none.
    length: AtomicU32,
    word: [AtomicU8; WORD_BYTES],
}

impl core::fmt::Debug for Notices {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

impl Notices {
    /// A snapshot is about to be revived.
    pub fn reverts(&self) {
        self.reverts.fetch_add(1, Ordering::Release);
        self.change();
    }

    /// No snapshot is left: what the program has done is final.
    pub fn committed(&self) {
        self.change();
    }

    fn change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        sys::futex_wake_shared(&self.changes);
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            changes: self.changes(),
            reverts: self.count_of_reverts(),
        }
    }

    /// As if nothing had happened since; no word is left.
    pub(crate) fn begin_anew(&self, counts: Counts) {
        self.length.store(0, Ordering::Relaxed);
        self.reverts.store(counts.reverts, Ordering::Relaxed);
        self.changes.store(counts.changes, Ordering::Release);
    }

    /// How many reverts there were.
    pub fn count_of_reverts(&self) -> u32 {
        self.reverts.load(Ordering::Acquire)
    }

    /// How many changes there were. Read it before all else, and sleep on it if there is nothing
    /// to do.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Acquire)
    }

    /// Sleeps until there is another one. It may return early.
    pub fn sleep_until_changed(&self, seen: u32) {
        // Interrupted, or changed already: the caller looks again in any case.
        let _ = sys::futex_wait_shared(&self.changes, seen, None);
    }

    /// Leaves a word for whoever is revived. What is too long is cut.
    pub fn leave_word(&self, bytes: &[u8]) {
        self.length.store(0, Ordering::Relaxed);
        let mut length = 0;
        for (place, &byte) in self.word.iter().zip(bytes) {
            place.store(byte, Ordering::Relaxed);
            length += 1;
        }
        // Release: whoever sees the length sees the bytes.
        self.length.store(length, Ordering::Release);
    }

    /// The word that was left, which is gone then. Its length is returned.
    pub fn take_word(&self, into: &mut [u8; WORD_BYTES]) -> usize {
        let length = self.length.swap(0, Ordering::AcqRel) as usize;
        for (byte, place) in into.iter_mut().zip(&self.word).take(length) {
            *byte = place.load(Ordering::Relaxed);
        }
        length.min(WORD_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_taken_once_and_cut() {
        let notices = Notices {
            changes: AtomicU32::new(0),
            reverts: AtomicU32::new(0),
            length: AtomicU32::new(0),
            word: [const { AtomicU8::new(0) }; WORD_BYTES],
        };
        let mut bytes = [0; WORD_BYTES];
        assert_eq!(notices.take_word(&mut bytes), 0);
        notices.leave_word(b"why");
        assert_eq!(notices.take_word(&mut bytes), 3);
        assert_eq!(&bytes[..3], b"why");
        assert_eq!(notices.take_word(&mut bytes), 0);
        notices.leave_word(&[7; WORD_BYTES + 1]);
        assert_eq!(notices.take_word(&mut bytes), WORD_BYTES);
        let seen = notices.changes();
        notices.reverts();
        assert_eq!(
            (notices.changes(), notices.count_of_reverts()),
            (seen + 1, 1)
        );
        notices.committed();
        assert_eq!(
            (notices.changes(), notices.count_of_reverts()),
            (seen + 2, 1)
        );
        notices.sleep_until_changed(seen);
    }
}
