//! Who a process is beside its threads: its parent, whose death it hears of, and the name
//! that `ps` shows.
//!
//! Context: AS-SAFE.
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::expect_used,
        clippy::unwrap_used
    )
)]

use crate::procfs;
use crate::sys::{self, ThreadName};
use crate::threads::state::ThreadState;
use crate::wire::Obstacle;

/// The identity of the process, and of the thread that makes the copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) thread: ThreadState,
    /// The id of that thread, in the process that was copied.
    pub(crate) tid: i32,
    parent_death_signal: i32,
    /// Who reaps this process, and the frozen copy too.
    pub(crate) parent: i32,
}

impl Identity {
    /// Reads it, for the calling thread.
    ///
    /// # Errors
    /// [`crate::wire::Step::Identity`] where the kernel can't tell.
    pub(crate) fn record() -> Result<Self, Obstacle> {
        Ok(Self {
            thread: ThreadState::record()?,
            tid: sys::gettid(),
            parent_death_signal: sys::parent_death_signal(),
            parent: sys::getppid(),
        })
    }

    /// Puts it back in a copy of that thread; the number of attributes that could not be.
    pub(crate) fn restore(&self) -> u32 {
        let failed = self.thread.restore_in_copy();
        sys::set_parent_death_signal(self.parent_death_signal);
        failed
    }

    /// Names the frozen copy for `ps`: `#3 python`. A `pkill python` then means the live
    /// process alone.
    pub(crate) fn show_as_frozen(&self, id: u32) {
        let mut name: ThreadName = [0; 16];
        let mut at = 0;
        let mut digits = [0; 10];
        let digits = procfs::decimal(id, &mut digits);
        let parts: [&[u8]; 4] = [b"#", digits, b" ", &self.thread.name];
        for &byte in parts.into_iter().flatten() {
            if at < name.len() - 1 {
                name[at] = byte;
                at += 1;
            }
        }
        sys::set_thread_name(name);
    }
}
