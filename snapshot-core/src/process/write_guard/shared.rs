//! The memory that the program shares with the journal, from the program's side: which files are
//! guarded, what is kept of them, and the question about what is not.
//!
//! Context: AS-SAFE, in every write of the program.
#![expect(unsafe_code, reason = "memory that was mapped for this")]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::descriptors::{self, Found, Moment};
use super::range::{Call, Range};
use crate::sys::{self, Errno};
use crate::terms::guards::{
    self, BEGUN, BITMAPS, DONE, FIRST_SLOT, KEEP_RANGE, SLOT_WORDS, SLOTS, USED,
};

/// Null before the first take.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// The memory, as words of atomics: the journal writes them.
#[repr(transparent)]
pub(super) struct Shared([AtomicU64; guards::BYTES / 8]);

/// It lies here.
///
/// # Safety
/// It was mapped with the length of the whole, and stays.
pub(super) unsafe fn lies_at(address: usize) {
    // Release: pairs with `shared`.
    SHARED.store(ptr::with_exposed_provenance_mut(address), Ordering::Release);
}

/// `None` before the first take.
pub(super) fn shared() -> Option<&'static Shared> {
    // Acquire: pairs with `lies_at`.
    let shared = ptr::NonNull::new(SHARED.load(Ordering::Acquire))?;
    // SAFETY: it was mapped, and stays.
    Some(unsafe { shared.as_ref() })
}

/// A guarded file.
struct Slot {
    device: u64,
    inode: u64,
    size: u64,
    bitmap: u64,
}

impl Shared {
    fn word(&self, index: usize) -> u64 {
        // Acquire: what the journal has written before. It changes what this thread relies on
        // while this thread stands still, or before it answers this thread.
        (self.0.get(index)).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn slot(&self, index: usize) -> Slot {
        let first = FIRST_SLOT + index * SLOT_WORDS;
        Slot {
            device: self.word(first),
            inode: self.word(first + 1),
            size: self.word(first + 2),
            bitmap: self.word(first + 3),
        }
    }

    /// Whether all of this range is kept, of what the file had.
    fn is_kept(&self, slot: &Slot, range: Range) -> bool {
        let (first, end) = guards::units(range.offset, range.length, slot.size);
        (first..end).all(|unit| {
            let Ok(byte) = usize::try_from(slot.bitmap + unit / 8) else {
                return false;
            };
            byte >= BITMAPS && self.word(byte / 8) >> ((byte % 8) as u64 * 8 + unit % 8) & 1 != 0
        })
    }

    /// `None` while the journal gives a guarded file to somebody.
    fn now(&self) -> Option<Moment> {
        // In this order: the journal writes them in this order too.
        let begun = self.word(BEGUN);
        descriptors::now((self.word(DONE) == begun).then_some(begun))
    }

    /// Asks the kernel what a descriptor has, and remembers it.
    fn look(&self, fd: i32, now: Option<Moment>) -> Option<Found> {
        let stat = sys::fstat(fd).ok()?;
        let used = usize::try_from(self.word(USED)).unwrap_or(0).min(SLOTS);
        let index = (0..used).find(|index| {
            let slot = self.slot(*index);
            slot.inode != 0 && (slot.device, slot.inode) == (stat.device, stat.inode)
        });
        let found = index.map_or(Found::Other, Found::Slot);
        if let Some(now) = now {
            descriptors::remember(fd, now, found);
        }
        Some(found)
    }

    /// Whether a descriptor is known to have no guarded file.
    pub(super) fn is_other(&self, fd: i32) -> bool {
        let known = self.now().and_then(|now| descriptors::known(fd, now));
        known == Some(Found::Other)
    }

    /// Has the journal keep what this call overwrites.
    ///
    /// # Errors
    /// What the call should fail with: there is no room to keep it.
    pub(super) fn keep(&self, call: Call, arguments: &[usize; 6]) -> sys::Result<()> {
        if self.word(USED) == 0 {
            return Ok(());
        }
        let Some(fd) = call.written_to(arguments) else {
            return Ok(());
        };
        let now = self.now();
        let known = now.and_then(|now| descriptors::known(fd, now));
        let Some(Found::Slot(index)) = known.or_else(|| self.look(fd, now)) else {
            return Ok(());
        };
        let Some(range) = Range::of(call, fd, arguments) else {
            return Ok(());
        };
        if self.is_kept(&self.slot(index), range) {
            return Ok(());
        }
        // It may be another file's by now that isn't guarded.
        match known.map_or(Some(Found::Slot(index)), |_| self.look(fd, now)) {
            Some(Found::Slot(_)) => ask(fd, range),
            Some(Found::Other) | None => Ok(()),
        }
    }
}

/// Asks the journal. Only want of room is a reason to fail: without a journal, nothing is
/// kept.
fn ask(fd: i32, range: Range) -> sys::Result<()> {
    loop {
        match sys::keep_range(fd, KEEP_RANGE, range.offset, range.length) {
            Err(Errno(libc::EINTR)) => {}
            Err(errno @ Errno(libc::ENOSPC | libc::EDQUOT | libc::EIO)) => return Err(errno),
            _ => return Ok(()),
        }
    }
}
