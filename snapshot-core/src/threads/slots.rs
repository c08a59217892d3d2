//! The slots: one for every thread that a take has found. A thread is called and parks by its
//! slot, and a copy makes it again from the slot's content.
//!
//! Slots lie in mappings of their own that are never unmapped, so a late signal still finds its
//! slot. Each take fills them anew, once every thread has left the last one.
//!
//! Context: AS-SAFE.
#![expect(
    unsafe_code,
    reason = "maps its own memory, and shares it between threads"
)]

use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::{state::ThreadState, time_used::Used};
use crate::kernel::reserve;
use crate::terms::InterruptedCall;

/// The thread has not been called, or its signal could not be queued.
pub(crate) const FREE: u32 = 0;
/// The thread was sent the signal.
pub(crate) const CALLED: u32 = 1;
/// The thread has come, and records what the kernel keeps of it.
pub(crate) const ARRIVING: u32 = 2;
/// The thread waits in [`crate::acts::park`].
pub(crate) const PARKED: u32 = 3;
/// The thread has ended.
pub(crate) const GONE: u32 = 4;
/// The thread is the kernel's own and runs no code of the program.
pub(crate) const WORKER: u32 = 5;
/// The program's first thread has ended before the others, and stays on the list.
pub(crate) const ZOMBIE: u32 = 6;

/// What is known of one thread.
pub(crate) struct Known {
    /// The call it was in when it was called.
    pub(crate) interrupted_call: InterruptedCall,
    /// How long it had been in that call, if that matters.
    pub(crate) elapsed_ns: Option<u64>,
    /// The processor time that it had used when it arrived.
    pub(crate) used: Used,
    /// What the kernel keeps of it.
    pub(crate) state: ThreadState,
}

/// One thread's slot.
#[repr(C)]
pub(crate) struct Slot {
    /// The parked thread's stack pointer. First, since the shim in [`crate::arch`] writes it.
    stack: UnsafeCell<usize>,
    pub(crate) tid: AtomicI32,
    /// Its id in a copy.
    pub(crate) new_tid: AtomicI32,
    pub(crate) state: AtomicU32,
    /// The last scan that saw it.
    pub(crate) scan: AtomicU32,
    /// The last release before the one it waits for.
    pub(crate) release: AtomicU32,
    /// Whether it has a task to do while it is parked; see [`crate::threads::parked`].
    pub(crate) task: AtomicU32,
    /// When it parked.
    pub(crate) arrived_ns: AtomicU64,
    known: UnsafeCell<Known>,
}

// SAFETY: `stack` and `known` belong to the slot's own thread while the state is ARRIVING,
// and again once it has been released; at all other times to the thread that parks the
// others, which clears the slots only when all have left. The state is stored with release
// and loaded with acquire ordering.
unsafe impl Sync for Slot {}

impl Slot {
    /// Where the shim leaves the stack pointer.
    pub(crate) fn place(&'static self) -> *mut core::ffi::c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The stack pointer of the parked thread.
    pub(crate) fn stack(&self) -> usize {
        // SAFETY: the thread has parked, so nobody writes it; see `Sync`.
        unsafe { self.stack.get().read() }
    }

    /// What is known of the thread.
    ///
    /// # Safety
    /// The caller must own it by the rule above, and keep no second reference.
    #[expect(clippy::mut_from_ref, reason = "owned by the rule of the slot's state")]
    pub(crate) unsafe fn known(&self) -> &mut Known {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.known.get() }
    }

    pub(crate) fn is(&self, state: u32) -> bool {
        self.state.load(Ordering::Acquire) == state
    }
}

const CHUNK: usize = 128;
const CHUNKS: usize = 256;
/// The most threads that one process may have.
pub(crate) const MOST: u32 = 32_768;

const _: () = assert!(CHUNK * CHUNKS == MOST as usize);

static CHUNK_AT: [AtomicPtr<Slot>; CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];
/// How many slots this take uses.
static USED: AtomicUsize = AtomicUsize::new(0);

fn slot(index: usize) -> Option<&'static Slot> {
    let chunk = CHUNK_AT.get(index / CHUNK)?.load(Ordering::Acquire);
    if chunk.is_null() {
        return None;
    }
    // SAFETY: a chunk has room for CHUNK slots.
    let slot = unsafe { chunk.add(index % CHUNK) };
    // SAFETY: zeroed by the kernel, which is a valid value, and never unmapped.
    Some(unsafe { &*slot })
}

fn make_slot(index: usize) -> Option<&'static Slot> {
    if slot(index).is_none() {
        let memory = reserve::lasting_memory(size_of::<Slot>() * CHUNK)?;
        CHUNK_AT
            .get(index / CHUNK)?
            .store(memory.cast().as_ptr(), Ordering::Release);
    }
    slot(index)
}

/// Starts again with no slot in use. Every thread must have left the slots of the last take.
pub(crate) fn clear() {
    USED.store(0, Ordering::Relaxed);
}

/// The slots of this take.
pub(crate) fn all() -> impl Iterator<Item = &'static Slot> {
    (0..USED.load(Ordering::Acquire)).filter_map(slot)
}

/// The slots in a state.
pub(crate) fn in_state(state: u32) -> impl Iterator<Item = &'static Slot> {
    all().filter(move |slot| slot.is(state))
}

/// A walk through the slots, beside a walk through the list of threads, which has the same
/// order each time.
pub(crate) struct Walk {
    next: usize,
}

impl Walk {
    pub(crate) fn begin() -> Self {
        Self { next: 0 }
    }

    /// The slot of this thread, or a new one; `None` if there is no room.
    pub(crate) fn find_or_add(&mut self, tid: i32) -> Option<&'static Slot> {
        let used = USED.load(Ordering::Relaxed);
        for index in (self.next..used).chain(0..self.next.min(used)) {
            let slot = slot(index)?;
            if slot.tid.load(Ordering::Relaxed) == tid {
                self.next = index + 1;
                return Some(slot);
            }
        }
        let slot = make_slot(used)?;
        slot.tid.store(tid, Ordering::Relaxed);
        slot.new_tid.store(0, Ordering::Relaxed);
        slot.task.store(0, Ordering::Relaxed);
        slot.state.store(FREE, Ordering::Relaxed);
        USED.store(used + 1, Ordering::Release);
        self.next = used + 1;
        Some(slot)
    }
}

/// The slot that a signal's value names, if it names one.
pub(crate) fn by_address(address: usize) -> Option<&'static Slot> {
    CHUNK_AT.iter().enumerate().find_map(|(index, chunk)| {
        let start = chunk.load(Ordering::Acquire).addr();
        let offset = address.checked_sub(start).filter(|_| start != 0)?;
        let fits = offset < size_of::<Slot>() * CHUNK && offset.is_multiple_of(size_of::<Slot>());
        // The same slot as by its number.
        fits.then(|| slot(index * CHUNK + offset / size_of::<Slot>()))?
    })
}

/// The new id of a thread in this copy, if it was made again.
pub(crate) fn new_tid_of(tid: i32) -> Option<i32> {
    in_state(PARKED)
        .find(|slot| slot.tid.load(Ordering::Relaxed) == tid)
        .map(|slot| slot.new_tid.load(Ordering::Relaxed))
        .filter(|&tid| tid != 0)
}
