//! The kernel shows each system call of a run before it is made (syscall user dispatch, Linux 5.11): by a
//! SIGSYS, whose handler judges it.
//!
//! While the selector says [`BLOCK`] only the code of [`arch::gate`] may make system calls: the return from
//! the handler is one.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "installs a signal handler")]

use core::ffi::c_void;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{calls::Calls, original::Original, pages::Sources};
use crate::arch::{self, FloatControl};
use crate::process::dontfork;
use crate::sys::{self, AlternateStack, Errno, KernelAction, SA_RESTORER, SignalSet};
use crate::threads::layout;

/// What the selector says.
pub(super) const ALLOW: u8 = 0;
pub(super) const BLOCK: u8 = 1;

/// Above what programs use, if the limit allows it.
const HIGH: i32 = 900;

const SIGNALS: i32 = 64;

pub(super) const SIGSYS: SignalSet = SignalSet::only(libc::SIGSYS);

/// A handler of signals.
pub(super) type Handler = unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

/// What a watch needs, in memory that is no part of the program's.
pub(super) struct Means<'a> {
    /// The handler of the SIGSYS, and its stack.
    pub(super) handler: Handler,
    pub(super) stack: Range<usize>,
    pub(super) selector: &'a AtomicU8,
}

/// A copy under watch.
pub(super) struct Watch {
    pub(super) calls: Calls,
    original: Original,
    pagemap: i32,
    rseq: usize,
    float: FloatControl,
    /// As the program had it.
    action: KernelAction,
    stack: AlternateStack,
    has_no_huge_pages: bool,
}

impl Watch {
    /// Begins to watch the calling process. Its system calls are let through until the selector says
    /// [`BLOCK`].
    ///
    /// # Errors
    /// The kernel can't do it, or something changes even without a system call. Then nothing has changed.
    ///
    /// # Safety
    /// The calling thread must be the only one of its process, with all signals blocked.
    pub(super) unsafe fn begin(&mut self, means: &Means<'_>) -> Result<(), Errno> {
        if !can_be_watched() {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        self.float = arch::float_control();
        self.rseq = layout::rseq_of(arch::SegmentBases::of_this_thread().fs, sys::tid_address()?);
        // SAFETY: asks.
        self.action = unsafe { sys::sigaction(libc::SIGSYS, None) }?;
        self.stack = sys::alternate_stack()?;
        if self.action.handler != libc::SIG_DFL || self.stack.is_in_use() {
            return Err(Errno(libc::EBUSY));
        }
        self.has_no_huge_pages = sys::has_no_huge_pages();
        self.calls.begin();
        self.pagemap = open_high()?;
        // SAFETY: the caller's promise.
        let made = unsafe { Original::make() };
        let begun = made.and_then(|original| {
            self.original = original;
            let begun = self.begin_with(means);
            if begun.is_err() {
                self.end();
                self.original.end();
            }
            begun
        });
        if begun.is_err() {
            sys::close(self.pagemap);
        }
        begun
    }

    fn begin_with(&self, means: &Means<'_>) -> Result<(), Errno> {
        // Without the right to read it, or an area that the original lacks, pages couldn't be put back.
        let mut word = [0; 8];
        let some = core::ptr::from_ref(self).addr();
        sys::read_memory_of(self.original.pid(), some, &mut word)?;
        if !dontfork::has_as_much(self.original.pid())? {
            return Err(Errno(libc::EFAULT));
        }
        // The kernel makes huge pages without a fault. They would be this copy's own in silence.
        sys::forbid_huge_pages(true)?;
        let ours = KernelAction {
            handler: means.handler as *const () as usize,
            flags: (libc::SA_SIGINFO | libc::SA_ONSTACK) as u64 | SA_RESTORER,
            restorer: arch::restore_from_signal as *const () as usize,
            mask: SignalSet::ALL,
        };
        let stack = AlternateStack::new(means.stack.start, means.stack.len());
        sys::set_alternate_stack(&stack)?;
        // SAFETY: the handler is AS-SAFE, and its restorer is its own.
        unsafe { sys::sigaction(libc::SIGSYS, Some(&ours)) }?;
        means.selector.store(ALLOW, Ordering::Relaxed);
        let (start, length) = arch::gate();
        sys::dispatch_calls(start, length, means.selector.as_ptr())
    }

    /// All as it was before [`Watch::begin`], but for the original's end.
    fn end(&self) {
        sys::dispatch_no_calls();
        // SAFETY: the program's own.
        let _ = unsafe { sys::sigaction(libc::SIGSYS, Some(&self.action)) };
        let _ = sys::set_alternate_stack(&self.stack);
        let _ = sys::forbid_huge_pages(self.has_no_huge_pages);
    }

    /// The copy becomes an ordinary one, when the running handler returns. `blocked` are the signals that the
    /// program blocks.
    ///
    /// # Safety
    /// `context` must be the third argument of the running handler.
    pub(super) unsafe fn leave(&self, context: *mut libc::ucontext_t, blocked: SignalSet) {
        self.end();
        self.original.end();
        sys::close(self.pagemap);
        // What is set while the handler runs, the return from it sets anew.
        // SAFETY: the kernel has written the frame, and nobody else looks at it.
        let context = unsafe { &mut *context };
        context.uc_stack = self.stack.into();
        let mask: *mut libc::sigset_t = &raw mut context.uc_sigmask;
        // SAFETY: as above. The kernel's set of signals is one word.
        unsafe { *mask.cast::<u64>() |= blocked.and(SIGSYS).0 };
    }

    pub(super) fn float(&self) -> &FloatControl {
        &self.float
    }

    pub(super) fn sources(&self) -> Sources {
        Sources {
            pagemap: self.pagemap,
            original: self.original.pid(),
            rseq: self.rseq,
        }
    }
}

/// Whether nothing changes but by a system call, and each of them can be seen.
fn can_be_watched() -> bool {
    // A handler that blocks SIGSYS couldn't be interrupted by one: the kernel would end the process.
    let blocks = |signal| {
        // SAFETY: asks.
        let action = unsafe { sys::sigaction(signal, None) };
        action.is_ok_and(|action| {
            let is_caught = !matches!(action.handler, libc::SIG_DFL | libc::SIG_IGN);
            is_caught && action.mask.meets(SIGSYS)
        })
    };
    let is_limited =
        sys::limit(libc::RLIMIT_CPU).is_ok_and(|[soft, _]| soft != libc::RLIM_INFINITY);
    !is_limited && !sys::is_filtered() && !arch::has_shadow_stack() && !(1..=SIGNALS).any(blocks)
}

fn open_high() -> Result<i32, Errno> {
    let opened = sys::open_to_read(c"/proc/self/pagemap", 0)?;
    let moved = sys::duplicate_above(opened, HIGH).or_else(|_| sys::duplicate_above(opened, 3));
    sys::close(opened);
    moved
}
