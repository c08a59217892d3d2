//! A thread's record of its call: when it began and ended, and how. Other threads read it.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::outcome::Outcome;
use crate::time::now;

/// The record of one thread's call.
#[derive(Default)]
pub struct Note {
    pub thread: AtomicI32,
    /// Nanoseconds of the monotonic clock; 0 until it has begun.
    pub begun: AtomicU64,
    pub ended: AtomicU64,
    pub outcome: OnceLock<Outcome>,
}

impl Note {
    /// The call comes next.
    pub fn begin(&self) {
        self.begun.store(now(), Ordering::Release);
    }

    pub fn end(&self, outcome: Outcome) {
        self.ended.store(now(), Ordering::Release);
        self.outcome.get_or_init(|| outcome);
    }

    /// Whether the thread waits in the kernel, by `/proc`.
    pub fn is_blocked(&self) -> bool {
        if self.begun.load(Ordering::Acquire) == 0 {
            return false;
        }
        let thread = self.thread.load(Ordering::Acquire);
        fs::read_to_string(format!("/proc/self/task/{thread}/syscall"))
            .is_ok_and(|text| text.starts_with(|first: char| first.is_ascii_digit()))
    }
}
