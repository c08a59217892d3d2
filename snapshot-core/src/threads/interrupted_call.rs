//! Looks at a thread just before it is interrupted: which call it is blocked in, and since
//! when. After the interruption the kernel shows neither.
//!
//! Context: AS-SAFE.

use crate::terms::{Asleep, Clock, InterruptedCall};
use core::ffi::CStr;

use super::{limits, transfers};
use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
};
use crate::sys;
use crate::terms::{Call, Doing};

impl InterruptedCall {
    /// Looks at a thread of this process, by way of `/proc/self/task`.
    pub(crate) fn of(tasks: i32, tid: i32) -> Self {
        let mut interrupted_call = Self::look(tasks, tid, limits::has_relative);
        interrupted_call.control_length = interrupted_call
            .call
            .and_then(|call| transfers::control_length(call.number, &call.arguments));
        interrupted_call
    }

    /// Looks at a thread of another process; empty if it can't be seen.
    pub fn from_outside(pid: i32, tid: i32) -> Self {
        let open = |path: &CStr| sys::open_to_read(path, libc::O_DIRECTORY).ok();
        let Some(tasks) = procfs::of_process(pid, b"/task", open) else {
            return Self::default();
        };
        // Only its own process can tell whether a socket has a limit.
        let interrupted_call = Self::look(tasks, tid, |call| {
            limits::of_call(call.number, &call.arguments).is_some()
        });
        sys::close(tasks);
        interrupted_call
    }

    fn look(tasks: i32, tid: i32, has_limit: impl Fn(&Call) -> bool) -> Self {
        let mut buffer = [0; 320];
        let call = match procfs::read_task(tasks, tid, TaskFile::Syscall, &mut buffer)
            .ok()
            .and_then(proc_text::doing)
        {
            Some(Doing::Call(call)) => call,
            _ => {
                return Self {
                    looked: true,
                    ..Self::default()
                };
            }
        };
        let asleep = has_limit(&call)
            .then(|| {
                let (since_ns, clock, sleeps) = last_at_work(tasks, tid)?;
                let stat = procfs::read_task(tasks, tid, TaskFile::Stat, &mut buffer)
                    .ok()
                    .and_then(proc_text::stat)?;
                Some(Asleep {
                    since_ns,
                    processor: stat.processor,
                    clock,
                    sleeps,
                })
            })
            .flatten();
        Self {
            looked: true,
            call: Some(call),
            asleep,
            control_length: None,
        }
    }

    /// Whether the interrupted thread was in this call.
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

/// When a sleeping thread last ran, by the best clock there is, and how often it has gone to
/// sleep.
fn last_at_work(tasks: i32, tid: i32) -> Option<(u64, Clock, u64)> {
    let mut buffer = [0; 1280];
    let text = procfs::read_task(tasks, tid, TaskFile::Sched, &mut buffer).ok()?;
    let sleeps = proc_text::voluntary_switches(text)?;
    match proc_text::last_ran_ns(text)? {
        0 => {
            let loaded_ns = proc_text::last_loaded_ns(text).filter(|&loaded_ns| loaded_ns != 0)?;
            Some((loaded_ns, Clock::Load, sleeps))
        }
        ran_ns => Some((ran_ns, Clock::Ran, sleeps)),
    }
}

impl Clock {
    /// Reads this clock in a thread's `sched`.
    fn read(self, read: impl FnOnce(&mut [u8]) -> Option<&[u8]>) -> Option<u64> {
        match self {
            Self::Ran => proc_text::last_ran_ns(read(&mut [0; 320])?),
            Self::Load => Self::read_load(read),
        }
    }

    /// Apart, since it needs more stack, and the stack may be small.
    #[inline(never)]
    fn read_load(read: impl FnOnce(&mut [u8]) -> Option<&[u8]>) -> Option<u64> {
        proc_text::last_loaded_ns(read(&mut [0; 1280])?)
    }
}

/// How often to try what a busy machine may interrupt.
const ATTEMPTS: u32 = 32;

/// The result of `look` from a moment in which the calling thread has not left its processor.
fn undisturbed<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..ATTEMPTS {
        let before = sys::context_switches();
        let seen = look()?;
        if sys::context_switches() == before {
            return Some(seen);
        }
    }
    None
}

impl Asleep {
    /// Now, with the processor that the calling thread is on.
    pub(crate) fn now(clock: Clock) -> Option<Self> {
        // If the thread changed processors between the two looks, the clock of one would pass
        // for that of the other.
        undisturbed(|| Self::look(clock))
    }

    fn look(clock: Clock) -> Option<Self> {
        sys::refresh_statistics();
        let tid = sys::gettid();
        let since_ns = clock.read(|buffer| {
            // Not by `thread-self`, for the same reason as in [`TaskFile`]'s paths.
            procfs::of_process(tid, b"/sched\0", |path| procfs::read(path, buffer).ok())
        })?;
        Some(Self {
            since_ns,
            processor: sys::processor()?,
            clock,
            sleeps: sys::times_asleep(),
        })
    }

    /// How long the calling thread has slept, if it was woken at `woken`; `None` if unknown.
    ///
    /// Each processor has clocks of its own, which differ by the time that each has spent on
    /// interrupts since the boot. If the thread was woken on another processor, it goes there
    /// and back to compare the two.
    pub(crate) fn until(self, woken: Self) -> Option<u64> {
        if woken.sleeps != self.sleeps {
            return None;
        }
        let woken_ns = if woken.processor == self.processor {
            woken.since_ns
        } else {
            if !may_go_deep() {
                return None;
            }
            let ahead = self.clock.ahead_of(self.processor, woken.processor)?;
            woken.since_ns.checked_add_signed(ahead)?
        };
        woken_ns.checked_sub(self.since_ns)
    }
}

/// Whether the stack has room for a comparison of two processors. Without optimisation that needs more than
/// what is left of an alternate stack of 8 KB behind the signal's own frame.
fn may_go_deep() -> bool {
    !cfg!(debug_assertions) || sys::alternate_stack().is_ok_and(|stack| !stack.is_in_use())
}

impl Clock {
    /// How far one processor's clock is ahead of another's, in nanoseconds.
    fn ahead_of(self, one: u32, other: u32) -> Option<i64> {
        let before = sys::affinity().ok()?;
        let ahead = self
            .less_monotonic(one)
            .zip(self.less_monotonic(other))
            .map(|(one, other)| one - other);
        // The thread had this affinity a moment ago, so it may have it again.
        let _ = sys::set_affinity(&before);
        ahead
    }

    /// A processor's clock minus CLOCK_MONOTONIC, which all processors share.
    fn less_monotonic(self, processor: u32) -> Option<i64> {
        let mut only = sys::Affinity::default();
        *only.get_mut(processor as usize / 64)? = 1 << (processor % 64);
        sys::set_affinity(&only).ok()?;
        if self == Self::Load {
            // The kernel updates it as the thread is queued, or at the next tick.
            sys::pause_ns(1);
        }
        undisturbed(|| {
            let here = Asleep::look(self).filter(|now| now.processor == processor)?;
            // The two are read some microseconds apart, on either processor.
            let now_ns = i64::try_from(sys::now_ns()).ok()?;
            i64::try_from(here.since_ns).ok()?.checked_sub(now_ns)
        })
    }
}
