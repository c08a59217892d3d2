//! libc caches the ids of its threads. In a revived copy the real ones may differ; this is the
//! list of them.
//!
//! Where ids can't be chosen a revived thread has a new one, but libc's cached one stays as it
//! was: the old number owns a mutex that was held at the snapshot, and the mutex would never
//! unlock under a new one. Functions that ask the kernel by the cached id need the real one;
//! the agent looks it up here.
//!
//! Context: AS-SAFE. Written while the process is parked, read at any time.
#![expect(
    unsafe_code,
    reason = "keeps its list in memory that it maps, and reads libc's"
)]

use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

use super::layout;
use crate::kernel::reserve;
use crate::sys;

#[repr(C)]
struct Entry {
    thread: AtomicUsize,
    cached: AtomicI32,
    real: AtomicI32,
}

static LIST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());
static ROOM: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// Counts the lists. A thread may be parked and revived while it reads one; then it reads the
/// next one from the beginning.
static VERSION: AtomicU32 = AtomicU32::new(0);

fn entries() -> &'static [Entry] {
    let list = LIST.load(Ordering::Acquire);
    if list.is_null() {
        return &[];
    }
    // SAFETY: a mapping with room for at least LENGTH entries, never unmapped, and all
    // atomics.
    unsafe { core::slice::from_raw_parts(list, LENGTH.load(Ordering::Acquire)) }
}

/// Begins a new list with room for this many threads. False if there is no memory.
///
/// # Safety
/// No other thread of the process may run.
pub(crate) unsafe fn clear(room: usize) -> bool {
    VERSION.fetch_add(1, Ordering::AcqRel);
    LENGTH.store(0, Ordering::Release);
    if ROOM.load(Ordering::Relaxed) >= room {
        return true;
    }
    // The former list stays, since a thread may be reading it. Each list is at least twice as
    // long as the one before.
    let room = room.next_power_of_two().max(FEWEST);
    let Some(memory) = reserve::lasting_memory(room * size_of::<Entry>()) else {
        return false;
    };
    LIST.store(memory.cast().as_ptr(), Ordering::Release);
    ROOM.store(room, Ordering::Relaxed);
    true
}

/// The room of the first list: a page.
const FEWEST: usize = 4096 / size_of::<Entry>();

/// Records the real id of a thread.
///
/// # Safety
/// `thread` must be a thread of this process that libc knows; only the thread that has called
/// [`clear`] may call.
pub(crate) unsafe fn note(thread: usize, real: i32) {
    let Some(address) = layout::cached_tid_address(thread) else {
        return;
    };
    // SAFETY: a word of libc's structure of a living thread, by the caller's promise.
    let address = unsafe { ptr::with_exposed_provenance::<i32>(address).read_volatile() };
    let length = LENGTH.load(Ordering::Relaxed);
    if address == real || length >= ROOM.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: within the room of the mapping.
    let entry = unsafe { LIST.load(Ordering::Relaxed).add(length) };
    // SAFETY: zeroed by the kernel, which is a valid value, and all atomics.
    let entry = unsafe { &*entry };
    entry.thread.store(thread, Ordering::Relaxed);
    entry.cached.store(address, Ordering::Relaxed);
    entry.real.store(real, Ordering::Relaxed);
    LENGTH.store(length + 1, Ordering::Release);
}

fn cached(address: usize) -> sys::Result<i32> {
    let mut bytes = [0; 4];
    sys::read_own_memory(address, &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}

/// The real id of a thread whose cached one is stale; `None` for any other thread, and for a
/// thread that has ended.
pub fn real_tid(thread: usize) -> Option<i32> {
    loop {
        let version = VERSION.load(Ordering::Acquire);
        let answer = look_up(thread);
        // The reads above are not moved behind the one below.
        fence(Ordering::Acquire);
        if VERSION.load(Ordering::Relaxed) == version {
            return answer;
        }
    }
}

fn look_up(thread: usize) -> Option<i32> {
    let entry = entries()
        .iter()
        .find(|entry| entry.thread.load(Ordering::Relaxed) == thread)?;
    // The memory of an ended thread may belong to another thread by now, with its own id.
    let now = cached(layout::cached_tid_address(thread)?).ok()?;
    let real = entry.real.load(Ordering::Relaxed);
    (now == entry.cached.load(Ordering::Relaxed) && sys::has_thread(real)).then_some(real)
}

/// Whether any thread but the caller has a stale cached id.
pub fn any_of_others() -> bool {
    let own = sys::gettid();
    entries().iter().any(|entry| {
        let real = entry.real.load(Ordering::Relaxed);
        real != own && sys::has_thread(real)
    })
}
