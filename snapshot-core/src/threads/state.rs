//! What the kernel keeps of a thread beside its registers and memory, and doesn't copy: where
//! it clears the tid, the robust mutex list, restartable sequences, the name, and the
//! scheduling.
//!
//! Each thread records this itself while it parks, and the thread that takes its place puts it
//! back. Registers, signal mask and alternate stack are in the signal frame.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "re-registers addresses with the kernel")]

use core::ptr;

use super::layout;
use crate::arch::SegmentBases;
use crate::sys::{self, Affinity, Scheduling, ThreadName};
use crate::terms::{Obstacle, Step};

/// How far behind a thread's id libc may keep the head of its robust mutexes: in glibc it is 16
/// bytes, in a structure of 2 KB.
const LIKELY_BYTES: usize = 64;

/// One thread's registrations and attributes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadState {
    pub(crate) bases: SegmentBases,
    pub(crate) tid_address: usize,
    robust_list: (usize, usize),
    /// Where its restartable sequences are registered; 0 if nowhere.
    rseq: usize,
    /// Whether it has such an area that libc doesn't know.
    pub(crate) has_own_rseq: bool,
    pub(crate) name: ThreadName,
    scheduling: Option<Scheduling>,
    affinity: Option<Affinity>,
    timer_slack: usize,
    io_priority: usize,
    credentials: [u32; 6],
}

impl ThreadState {
    /// Reads the state of the calling thread.
    ///
    /// # Errors
    /// [`Step::Identity`] if the kernel doesn't give it.
    pub(crate) fn record() -> Result<Self, Obstacle> {
        let mut state = Self::default();
        state.record_here()?;
        Ok(state)
    }

    /// The same, in place: a thread that parks has little stack.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn record_here(&mut self) -> Result<(), Obstacle> {
        let failed = |errno: sys::Errno| Obstacle::Failed(Step::Identity, errno.0);
        self.bases = SegmentBases::of_this_thread();
        self.tid_address = sys::tid_address().map_err(failed)?;
        self.robust_list = sys::robust_list().map_err(failed)?;
        self.rseq = layout::rseq_of(self.bases.fs, self.tid_address);
        self.has_own_rseq = layout::has_own_rseq(self.rseq);
        self.name = sys::thread_name();
        self.scheduling = sys::scheduling().ok();
        self.affinity = sys::affinity().ok();
        self.timer_slack = sys::timer_slack();
        self.io_priority = sys::io_priority();
        self.credentials = sys::credentials();
        Ok(())
    }

    /// Whether a thread that `other` makes would have the same user.
    pub(crate) fn has_credentials_of(&self, other: &Self) -> bool {
        self.has_credentials(&other.credentials)
    }

    /// Whether it has these credentials, as [`sys::credentials`] returns them.
    pub(crate) fn has_credentials(&self, credentials: &[u32; 6]) -> bool {
        self.credentials == *credentials
    }

    /// libc's handle of the thread; `None` if libc doesn't know it.
    pub(crate) fn handle(&self) -> Option<usize> {
        layout::is_of_libc(self.bases.fs, self.tid_address).then_some(self.bases.fs)
    }

    /// Whether it is scheduled like most threads.
    pub(crate) fn is_scheduled_as_usual(&self) -> bool {
        self.scheduling.is_some_and(|scheduling| {
            scheduling.policy == libc::SCHED_OTHER.unsigned_abs() && scheduling.nice <= 0
        })
    }

    /// Whether it holds a robust mutex: its list is not just the head.
    pub(crate) fn holds_robust_mutex(&self) -> bool {
        let head = self.robust_list.0;
        head != 0
            && self
                .first_robust(head)
                .is_some_and(|first| first & !1 != head)
    }

    /// What the head of the list points to.
    fn first_robust(&self, head: usize) -> Option<usize> {
        // libc has it in its structure of the thread, just behind the word of the id. At any
        // other address the memory may be gone.
        if self.handle().is_some() && head.wrapping_sub(self.tid_address) < LIKELY_BYTES {
            // SAFETY: within the structure, which is there as long as the thread is.
            return Some(unsafe { ptr::with_exposed_provenance::<usize>(head).read_volatile() });
        }
        let mut first = [0; 8];
        sys::read_own_memory(head, &mut first).ok()?;
        Some(usize::from_ne_bytes(first))
    }

    /// In a copy's first thread: cancels what the kernel would do to the memory at the thread's
    /// end, since another thread goes on with that memory.
    pub(crate) fn give_up_registrations(&self) {
        forget_registrations();
        if self.rseq != 0 {
            let _ = sys::unregister_rseq(self.rseq, layout::rseq_length());
        }
    }

    /// Registers what [`ThreadState::restore_in_copy`] leaves out because a copy keeps it.
    /// Returns how many could not be put back.
    pub(crate) fn register_rseq_again(&self) -> u32 {
        if self.rseq == 0 {
            return 0;
        }
        // SAFETY: it was registered, and its memory is this thread's now.
        u32::from(unsafe { sys::register_rseq(self.rseq, layout::rseq_length()) }.is_err())
    }

    /// Puts them back in a copy's first thread, which has inherited most of them. Returns how
    /// many could not be put back.
    pub(crate) fn restore_in_copy(&self) -> u32 {
        self.register();
        sys::set_thread_name(self.name);
        self.set_attributes(&Self::record().ok())
    }

    /// Puts them back in a new thread, made by one that has `inherited`. Returns how many could
    /// not be put back.
    pub(crate) fn restore_in_new_thread(&self, inherited: &Self) -> u32 {
        self.register();
        let failed = self.register_rseq_again();
        if self.bases.gs != inherited.bases.gs {
            self.bases.restore_gs();
        }
        if self.name != inherited.name {
            sys::set_thread_name(self.name);
        }
        failed + self.set_attributes(&Some(*inherited))
    }

    fn register(&self) {
        // SAFETY: the address was registered by the thread's library before the copy was
        // made, and the copy has the same memory.
        unsafe { sys::set_tid_address(self.tid_address) };
        if self.robust_list.0 != 0 {
            // SAFETY: as above, for the list.
            unsafe { sys::set_robust_list(self.robust_list.0, self.robust_list.1) };
        }
    }

    fn set_attributes(&self, inherited: &Option<Self>) -> u32 {
        let differs = |same: fn(&Self, &Self) -> bool| {
            inherited.as_ref().is_none_or(|other| !same(self, other))
        };
        let mut failed = 0;
        if differs(|a, b| a.affinity == b.affinity)
            && let Some(affinity) = &self.affinity
        {
            failed += u32::from(sys::set_affinity(affinity).is_err());
        }
        if differs(|a, b| a.scheduling == b.scheduling)
            && let Some(scheduling) = &self.scheduling
        {
            failed += u32::from(sys::set_scheduling(scheduling).is_err());
        }
        if differs(|a, b| a.io_priority == b.io_priority) {
            failed += u32::from(sys::set_io_priority(self.io_priority).is_err());
        }
        if differs(|a, b| a.timer_slack == b.timer_slack) {
            sys::set_timer_slack(self.timer_slack);
        }
        failed
    }
}

/// Cancels a thread's registrations, so that its end changes no memory: for a thread that was
/// made and is not needed.
pub(crate) fn forget_registrations() {
    // SAFETY: zero means that nothing is to be cleared.
    unsafe { sys::set_tid_address(0) };
    // SAFETY: no list at all; the length is the one the kernel insists on.
    unsafe { sys::set_robust_list(0, 24) };
}
