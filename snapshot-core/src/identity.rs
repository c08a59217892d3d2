//! What the kernel keeps of a thread beside its registers and memory, and forgets in a
//! copy: where it clears the tid, the robust mutex list, the name, the parent's death
//! signal.
//!
//! Recorded before the split, put back when a copy revives. The tid that libc has cached
//! in its thread descriptor is left as it was: mutexes held at the snapshot are owned by
//! the old number, and would never unlock under a new one.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "re-registers addresses with the kernel")]

use crate::sys::{self, ThreadName};
use crate::wire::{Obstacle, Step};

/// One thread's registrations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    tid_address: usize,
    robust_list: (usize, usize),
    name: ThreadName,
    parent_death_signal: i32,
    /// Who reaps this process, and the frozen copy too.
    pub(crate) parent: i32,
}

impl Identity {
    /// Reads them for the calling thread.
    ///
    /// # Errors
    /// [`Step::Identity`] where the kernel can't tell.
    pub(crate) fn record() -> Result<Self, Obstacle> {
        let failed = |errno: sys::Errno| Obstacle::Failed(Step::Identity, errno.0);
        Ok(Self {
            tid_address: sys::tid_address().map_err(failed)?,
            robust_list: sys::robust_list().map_err(failed)?,
            name: sys::thread_name(),
            parent_death_signal: sys::parent_death_signal(),
            parent: sys::getppid(),
        })
    }

    /// Puts them back in a copy of that thread.
    pub(crate) fn restore(&self) {
        // SAFETY: the address was registered by this very thread's library before the
        // copy was made, and the copy has the same memory.
        unsafe { sys::set_tid_address(self.tid_address) };
        if self.robust_list.0 != 0 {
            // SAFETY: as above, for the list.
            unsafe { sys::set_robust_list(self.robust_list.0, self.robust_list.1) };
        }
        sys::set_thread_name(self.name);
        sys::set_parent_death_signal(self.parent_death_signal);
    }

    /// Names the frozen copy for `ps`: `#3 python`. A `pkill python` then means the live
    /// process alone.
    pub(crate) fn show_as_frozen(&self, id: u32) {
        let mut name: ThreadName = [0; 16];
        let mut at = 0;
        let mut digits = [0_u8; 10];
        let mut rest = id;
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let parts: [&[u8]; 4] = [b"#", &digits[first..], b" ", &self.name];
        for &byte in parts.into_iter().flatten() {
            if at < name.len() - 1 {
                name[at] = byte;
                at += 1;
            }
        }
        sys::set_thread_name(name);
    }
}
