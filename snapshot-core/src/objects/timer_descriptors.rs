//! Timers with a descriptor (`timerfd`).
//!
//! A timer set for a time of day still expires at that time. A timer set for a duration has as
//! much left as at the snapshot. Unread expirations are unread again.
//!
//! Context: AS-SAFE.

use super::{
    by_group::ByGroup,
    descriptors::{Descriptors, Group, information},
    recording::{Object, Recording},
};
use crate::kernel::proc_text;
use crate::sys::{self, Errno, TimerValue};
use crate::terms::Kind;

#[derive(Clone, Copy)]
struct Timer {
    clock: i32,
    flags: i32,
    /// Interval, and the time left or the time of day; seconds and nanoseconds.
    value: TimerValue,
    ticks: u64,
}

/// The program's timers.
pub(super) struct Timers(ByGroup<Timer>);

impl Timers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.entries().is_empty()
    }
}

impl Object for Timers {
    fn record(recording: &mut Recording<'_>) -> Result<Self, Errno> {
        let mut timers = ByGroup::new();
        recording.for_each_own(Kind::Timerfd, |recording, number, group| {
            recording.open.will_be_rebuilt(number);
            timers.push(number, Timer::record(group.fd)?)
        })?;
        Ok(Self(timers))
    }

    fn restore(&self, open: &Descriptors) -> u32 {
        self.0
            .restore(open, |group, timer| timer.restore(open, group))
    }

    fn release(self) {
        self.0.release();
    }
}

impl Timer {
    fn record(fd: i32) -> Result<Self, Errno> {
        // First: this call makes the kernel count elapsed ticks; reading the text does not.
        let mut value = sys::timerfd_left(fd)?;
        let mut buffer = [0; 1024];
        let text = information(fd, &mut buffer)?;
        let unreadable = Errno(libc::EPROTO);
        let clock = proc_text::number(text, "clockid:").ok_or(unreadable)?;
        let clock = i32::try_from(clock).map_err(|_| unreadable)?;
        let flags = proc_text::octal_field(text, "settime flags:").ok_or(unreadable)?;
        let flags = i32::try_from(flags).map_err(|_| unreadable)?;
        // A timer that is due before its interrupt has come has no time left, and setting it to
        // zero would disarm it.
        let repeats = value[0] != 0 || value[1] != 0;
        if repeats && value[2] == 0 && value[3] == 0 {
            value[3] = 1;
        }
        let is_set = value[2] != 0 || value[3] != 0;
        if is_set && flags & libc::TFD_TIMER_ABSTIME != 0 {
            let now = sys::time_on(clock_behind(clock))?;
            let nanoseconds = value[3] + now[1];
            value[2] += now[0] + nanoseconds / 1_000_000_000;
            value[3] = nanoseconds % 1_000_000_000;
        }
        Ok(Self {
            clock,
            flags,
            value,
            ticks: proc_text::number(text, "ticks:")
                .and_then(|ticks| u64::try_from(ticks).ok())
                .ok_or(unreadable)?,
        })
    }

    fn restore(&self, open: &Descriptors, group: &Group) -> Result<(), Errno> {
        let fd = sys::timerfd(self.clock)?;
        let mut done = sys::set_timerfd(fd, self.flags, &self.value);
        if self.ticks != 0 {
            done = done.and(sys::set_timerfd_ticks(fd, self.ticks));
        }
        open.install(group, fd).and(done)
    }
}

/// The clock behind an alarm clock: not every system can read alarm clocks.
fn clock_behind(clock: i32) -> i32 {
    match clock {
        libc::CLOCK_REALTIME_ALARM => libc::CLOCK_REALTIME,
        libc::CLOCK_BOOTTIME_ALARM => libc::CLOCK_BOOTTIME,
        clock => clock,
    }
}
