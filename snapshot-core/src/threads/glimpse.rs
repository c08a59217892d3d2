//! A glimpse of a thread before it is interrupted: which call it is blocked in, and since
//! when, since afterwards the kernel tells neither.
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

use core::ffi::CStr;

use super::limits;
use crate::proc_text::{self, Call, Doing};
use crate::procfs::{self, TaskFile};
use crate::sys;

/// What a thread was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Glimpse {
    /// The call it was blocked in, if it was.
    pub call: Option<Call>,
    /// Since when it slept, where that call ends after a while.
    pub asleep: Option<Asleep>,
}

/// When a thread went to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asleep {
    /// On the clock of that processor, in nanoseconds.
    pub since_ns: u64,
    /// On which the thread was.
    pub processor: u32,
}

impl Glimpse {
    /// Looks at a thread of this process, by way of `/proc/self/task`.
    pub(crate) fn of(tasks: i32, tid: i32) -> Self {
        Self::look(tasks, tid, limits::has_relative)
    }

    /// Looks at a thread of another process. Nothing where that can't be seen.
    pub fn from_outside(pid: i32, tid: i32) -> Self {
        const PROC: &[u8] = b"/proc/";
        let mut path = [0; 40];
        path[..PROC.len()].copy_from_slice(PROC);
        path[PROC.len()..PROC.len() + 32].copy_from_slice(&procfs::numbered(pid, b"/task"));
        let Ok(path) = CStr::from_bytes_until_nul(&path) else {
            return Self::default();
        };
        let Ok(tasks) = sys::open_to_read(path, libc::O_DIRECTORY) else {
            return Self::default();
        };
        // Whether a socket has a limit only its own process can tell.
        let glimpse = Self::look(tasks, tid, |call| {
            limits::of_call(call.number, &call.arguments).is_some()
        });
        sys::close(tasks);
        glimpse
    }

    fn look(tasks: i32, tid: i32, has_limit: impl Fn(&Call) -> bool) -> Self {
        let mut buffer = [0; 320];
        let call = match procfs::read_task(tasks, tid, TaskFile::Syscall, &mut buffer)
            .and_then(proc_text::doing)
        {
            Some(Doing::Call(call)) => call,
            _ => return Self::default(),
        };
        let asleep = has_limit(&call)
            .then(|| {
                let since_ns = procfs::read_task(tasks, tid, TaskFile::Sched, &mut buffer)
                    .and_then(proc_text::last_ran_ns)?;
                let stat = procfs::read_task(tasks, tid, TaskFile::Stat, &mut buffer)
                    .and_then(proc_text::stat)?;
                Some(Asleep {
                    since_ns,
                    processor: stat.processor,
                })
            })
            .flatten();
        Self {
            call: Some(call),
            asleep,
        }
    }

    /// Whether an interrupted thread was in just this call.
    pub(crate) fn is_of(&self, position: (usize, usize), first_arguments: [i64; 2]) -> bool {
        self.call.is_some_and(|call| {
            let (program, stack) = position;
            call.program == program as u64
                && call.stack == stack as u64
                && call.arguments[0] == first_arguments[0].cast_unsigned()
                && call.arguments[1] == first_arguments[1].cast_unsigned()
        })
    }
}

impl Asleep {
    /// The moment at which the calling thread is awake, and where.
    pub(crate) fn now() -> Option<Self> {
        sys::refresh_statistics();
        let mut buffer = [0; 320];
        let since_ns = procfs::read(c"/proc/thread-self/sched", &mut buffer)
            .and_then(proc_text::last_ran_ns)?;
        Some(Self {
            since_ns,
            processor: sys::processor()?,
        })
    }

    /// How long a thread has slept that was woken at such a moment.
    ///
    /// Each processor has a clock of its own, and they may differ by what each has spent
    /// on interrupts since the machine was started: where the thread was woken on another
    /// one, the difference is an estimate, `false`.
    pub(crate) fn until(self, woken: Self) -> Option<(u64, bool)> {
        let elapsed_ns = woken.since_ns.checked_sub(self.since_ns)?;
        Some((elapsed_ns, woken.processor == self.processor))
    }
}
