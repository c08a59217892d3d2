//! What a template and its copies share: memory that no record includes and no reset puts back.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "shares memory between processes")]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{
    AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use super::{
    pages::Pages,
    watch::{Handler, Means, Watch},
};
use crate::process::own_memory::{keep_out, let_in};
use crate::sys::{self, Errno};

/// The copy is an ordinary one.
pub(super) const ORDINARY: u32 = 0;
/// The copy is watched, and runs.
pub(super) const RUNS: u32 = 1;
/// The copy has finished a run, and waits for the next.
pub(super) const WAITS: u32 = 2;

pub(super) const STACK_BYTES: usize = 128 * 1024;

/// A stack; its end is aligned as the processor wants it.
#[repr(C, align(64))]
pub(super) struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

impl Stack {
    pub(super) fn top(&self) -> *mut c_void {
        let start: *mut u8 = self.0.get().cast();
        start.wrapping_add(STACK_BYTES).cast()
    }
}

/// What the template and its copies share.
#[repr(C)]
pub(crate) struct Again {
    /// The stack pointer of the place where each run begins.
    pub(super) place: AtomicUsize,
    /// Whether the next copy may go back.
    pub(super) is_offered: AtomicU32,
    pub(super) state: AtomicU32,
    /// Counts the runs that the template has asked for.
    pub(super) asked: AtomicU32,
    /// How the last run has ended: its exit code.
    pub(super) code: AtomicI32,
    /// Readable when a run has ended. The template's descriptor, and each copy's.
    ended: AtomicI32,
    /// Which system calls the kernel lets through; see [`watch`].
    pub(super) selector: AtomicU8,
    /// The signals that the program blocks where a run begins.
    pub(super) mask: AtomicU64,
    /// The copy's alone.
    copy: UnsafeCell<Copy>,
    /// Resets run on the first, the handler of system calls on the second.
    pub(super) stacks: [Stack; 2],
}

pub(super) struct Copy {
    pub(super) watch: Watch,
    pub(super) pages: Pages,
}

// SAFETY: all but `copy` is atomic or a stack; `copy` is used by the one copy that lives, which has
// one thread.
unsafe impl Sync for Again {}

/// Null before a template that may have such copies.
static AGAIN: AtomicPtr<Again> = AtomicPtr::new(core::ptr::null_mut());

pub(super) fn again() -> Option<&'static Again> {
    // SAFETY: null, or a mapping that is never unmapped. All zero is a value of it.
    unsafe { AGAIN.load(Ordering::Acquire).as_ref() }
}

impl Again {
    /// In a template: the memory for it. `ended` is what becomes readable when a run has ended; reads of it
    /// don't wait. `None` without memory.
    ///
    /// A copy that is a template itself has another.
    pub(crate) fn make(ended: i32) -> Option<&'static Self> {
        let memory = sys::map_memory(size_of::<Self>(), true)?;
        keep_out(memory.as_ptr().addr());
        AGAIN.store(memory.cast().as_ptr(), Ordering::Release);
        let made = again()?;
        made.ended.store(ended, Ordering::Relaxed);
        Some(made)
    }

    /// In the template, when there is no copy any more.
    ///
    /// # Safety
    /// Nobody may use it any more.
    pub(crate) unsafe fn release(&'static self) {
        AGAIN.store(core::ptr::null_mut(), Ordering::Release);
        let start = core::ptr::from_ref(self).addr();
        let_in(start);
        // SAFETY: the caller's promise.
        let _ = unsafe { sys::unmap_range(start, size_of::<Self>()) };
    }

    /// Before a copy is made: whether it may go back.
    pub(crate) fn offer(&self, may: bool) {
        self.state.store(ORDINARY, Ordering::Relaxed);
        // The last copy may have ended in the middle of it.
        self.forget_end();
        self.is_offered.store(u32::from(may), Ordering::Release);
    }

    /// What is readable when a run has ended.
    pub(in crate::library::alone) fn descriptor(&self) -> i32 {
        self.ended.load(Ordering::Relaxed)
    }

    /// The code of the run that has just ended, if the copy waits for the next one.
    pub(crate) fn ended(&self) -> Option<i32> {
        if self.state.load(Ordering::Acquire) != WAITS {
            return None;
        }
        self.forget_end();
        Some(self.code.load(Ordering::Relaxed))
    }

    /// The descriptor is readable no more.
    fn forget_end(&self) {
        let _ = sys::read(self.descriptor(), &mut [0; 8]);
    }

    /// The copy that waits is to run.
    pub(crate) fn go(&self) {
        self.state.store(RUNS, Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Release);
        sys::futex_wake_shared(&self.asked);
    }

    pub(super) fn means(&self, handler: Handler) -> Means<'_> {
        let top = self.stacks[1].top().addr();
        Means {
            handler,
            stack: top - STACK_BYTES..top,
            selector: &self.selector,
        }
    }

    pub(super) fn place(&self) -> *mut c_void {
        self.place.as_ptr().cast()
    }

    /// # Safety
    /// Only in the copy, and with no other reference to it.
    #[expect(clippy::mut_from_ref, reason = "only the one copy that lives uses it")]
    pub(super) unsafe fn copy(&self) -> &mut Copy {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.copy.get() }
    }
}

impl Copy {
    /// Undoes what system calls have done to memory, and finds the pages that have to be put back.
    pub(super) fn prepare(&mut self) -> Result<(), Errno> {
        self.watch.calls.undo()?;
        self.pages.look(self.watch.sources())
    }
}
