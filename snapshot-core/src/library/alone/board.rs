//! What all processes of a program without a launcher share: the stack of snapshots, and who
//! lives. It is one shared mapping, which every copy inherits.
//!
//! Context: AS-SAFE. Nothing but atomics.
#![expect(unsafe_code, reason = "maps a shared page")]

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use crate::process::{
    notices::{Counts, Notices},
    own_memory::keep_out,
    own_processes::{self, OwnProcesses},
};
use crate::sys::{self, Errno};
use crate::wire::LISTED;

/// The deepest stack of snapshots.
const DEEPEST: usize = LISTED;

/// A snapshot's number and place in the stack.
#[repr(C)]
pub(super) struct Level {
    pub(super) id: AtomicU32,
    /// The frozen process.
    pub(super) pid: AtomicI32,
    /// Dropped or committed: it will never be revived.
    pub(super) forgotten: AtomicU32,
}

/// Who is to adopt the live process, when the frozen one between them ends: a process id, and whether it
/// is ready. 0 if nobody is asked.
#[repr(C)]
pub(super) struct Adoption(AtomicU32);

const READY: u32 = 1 << 31;

impl Adoption {
    /// Asks a frozen process. It has to be woken.
    pub(super) fn ask(&self, adopter: i32) {
        self.0.store(adopter.unsigned_abs(), Ordering::Release);
    }

    /// Whether this process is asked, and has not answered.
    pub(super) fn is_asked_of(&self, adopter: i32) -> bool {
        self.0.load(Ordering::Acquire) == adopter.unsigned_abs()
    }

    pub(super) fn is_by(&self, adopter: i32) -> bool {
        self.0.load(Ordering::Acquire) == adopter.unsigned_abs() | READY
    }

    /// This process, which is asked, is ready.
    pub(super) fn is_ready(&self, adopter: i32) {
        self.0
            .store(adopter.unsigned_abs() | READY, Ordering::Release);
        sys::futex_wake_shared(&self.0);
    }

    /// It is done.
    pub(super) fn end(&self) {
        self.0.store(0, Ordering::Release);
        sys::futex_wake_shared(&self.0);
    }

    /// Waits until the asked process is ready. If that takes longer, nobody is asked any more, and this is
    /// false.
    pub(super) fn wait_until_ready(&self, adopter: i32, at_most_ns: u64) -> bool {
        let asked = adopter.unsigned_abs();
        let until = sys::now_ns() + at_most_ns;
        while self.is_asked_of(adopter) {
            let left = until.saturating_sub(sys::now_ns());
            if left == 0 {
                let order = (Ordering::AcqRel, Ordering::Acquire);
                let taken_back = self.0.compare_exchange(asked, 0, order.0, order.1);
                return taken_back.is_err();
            }
            let _ = sys::futex_wait_shared(&self.0, asked, Some(left));
        }
        true
    }

    /// Waits until it is done, at most this long. Returns whether it is.
    pub(super) fn wait_until_done(&self, at_most_ns: u64) -> bool {
        let now = self.0.load(Ordering::Acquire);
        if now != 0 {
            let _ = sys::futex_wait_shared(&self.0, now, Some(at_most_ns));
        }
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The state that every process of the chain shares.
#[repr(C)]
pub(super) struct Board {
    /// The number the next snapshot gets.
    pub(super) next_id: AtomicU32,
    /// How many processes are frozen, forgotten snapshots included.
    pub(super) depth: AtomicU32,
    /// The live process.
    pub(super) live: AtomicI32,
    /// The snapshot a revert asked for; 0 for the newest.
    pub(super) target: AtomicU32,
    /// How the live branch ended: 0 unknown; 2 reverted; 3 interrupted; 4, with the errno above
    /// it: its threads could not be made again, so it never ran.
    pub(super) how: AtomicU32,
    /// When the revert was asked for: low and high half of CLOCK_MONOTONIC.
    pub(super) asked_low: AtomicU32,
    pub(super) asked_high: AtomicU32,
    pub(super) adoption: Adoption,
    /// Which run of a template the live copy makes.
    pub(super) run: AtomicU32,
    /// The process between the two, which is of no use any more, when it may end.
    pub(super) ending: AtomicI32,
    pub(super) stack: [Level; DEEPEST],
    /// The frozen processes: their descriptors are not a foreign program's.
    pub(super) own: OwnProcesses,
    pub(super) notices: Notices,
}

/// The board, null until the first take. A copy inherits the mapping and the pointer.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(core::ptr::null_mut());

pub(super) fn board() -> Option<&'static Board> {
    // SAFETY: the pointer is null or a shared mapping that is never unmapped; the kernel has
    // zeroed it, and all fields are atomic.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }
}

pub(super) fn make_board() -> Option<&'static Board> {
    if let Some(board) = board() {
        return Some(board);
    }
    let memory = sys::map_memory(size_of::<Board>(), true)?;
    // SAFETY: a page's start is aligned for it, and all zero is a value of it.
    let new: &'static Board = unsafe { memory.cast().as_ref() };
    new.next_id.store(1, Ordering::Relaxed);
    new.live.store(sys::getpid(), Ordering::Relaxed);
    let place = core::ptr::from_ref(new).cast_mut();
    let none = core::ptr::null_mut();
    let order = (Ordering::AcqRel, Ordering::Acquire);
    if BOARD
        .compare_exchange(none, place, order.0, order.1)
        .is_err()
    {
        // Another thread was faster. SAFETY: nobody else knows of this one.
        unsafe { sys::unmap_memory(memory, size_of::<Board>()) };
        return board();
    }
    keep_out(memory.as_ptr().addr());
    own_processes::begin(&new.own);
    Some(new)
}

/// What survives a revert. `None` without memory for it.
pub(crate) fn notices() -> Option<&'static Notices> {
    Some(&make_board()?.notices)
}

/// In [`Board::how`].
const NOT_BEGUN: u32 = 4;

impl Board {
    /// The frozen processes' places, oldest first.
    pub(super) fn places(&self) -> &[Level] {
        let depth = self.depth.load(Ordering::Acquire) as usize;
        self.stack.get(..depth).unwrap_or(&self.stack)
    }

    /// In a copy: its threads could not be made, so it ends without having run.
    pub(super) fn say_not_begun(&self, errno: Errno) {
        let errno = errno.0.unsigned_abs() << 8;
        self.how.store(NOT_BEGUN | errno, Ordering::Release);
    }

    /// Why the copy that has ended never ran, if it said so; it is said once.
    pub(super) fn take_not_begun(&self) -> Option<Errno> {
        let how = self.how.load(Ordering::Acquire);
        (how & 0xff == NOT_BEGUN).then(|| {
            self.how.store(0, Ordering::Relaxed);
            Errno((how >> 8).cast_signed())
        })
    }

    /// For a copy of a template, before it exists: there are no snapshots, and the program has lived
    /// through `counts` of changes.
    pub(super) fn begin_anew(&self, counts: Counts) {
        for place in &self.stack {
            place.forgotten.store(0, Ordering::Relaxed);
        }
        for number in [&self.depth, &self.target, &self.how] {
            number.store(0, Ordering::Relaxed);
        }
        self.adoption.0.store(0, Ordering::Relaxed);
        self.ending.store(0, Ordering::Relaxed);
        self.notices.begin_anew(counts);
    }

    pub(super) fn set_asked(&self, now: u64) {
        self.asked_low
            .store((now & 0xffff_ffff) as u32, Ordering::Relaxed);
        self.asked_high.store((now >> 32) as u32, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> u64 {
        u64::from(self.asked_high.load(Ordering::Relaxed)) << 32
            | u64::from(self.asked_low.load(Ordering::Relaxed))
    }
}

/// Whether the calling process is the live one; true before the first take. A child that the
/// program has forked is not.
pub(crate) fn is_live() -> bool {
    board().is_none_or(|board| board.live.load(Ordering::Relaxed) == sys::getpid())
}

/// The snapshots that can be reverted to, oldest first, and their number.
pub(crate) fn list() -> (u32, [u32; LISTED]) {
    let mut ids = [0; LISTED];
    let mut count = 0_u32;
    for place in board().map_or(&[][..], Board::places) {
        if place.forgotten.load(Ordering::Relaxed) == 0
            && let Some(slot) = ids.get_mut(count as usize)
        {
            *slot = place.id.load(Ordering::Relaxed);
            count += 1;
        }
    }
    (count, ids)
}
