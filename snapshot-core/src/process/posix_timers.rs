//! POSIX timers (`timer_create`). A copy has none, so it makes each again with its id, and arms
//! it with the time that was left. Missed expirations are lost.
//!
//! Context: AS-SAFE.

use crate::kernel::{proc_text, procfs, records::Records};
use crate::sys::{self, Errno, TimerEvent, TimerValue};
use crate::threads::slots;

/// The most that one process may have: their list is read in one piece.
const MOST: usize = 4096;
const TEXT_BYTES: usize = 256 << 10;
/// Enough for most programs.
const SHORT_BYTES: usize = 512;

/// The timers of a process.
pub(super) struct Timers {
    records: Records<(proc_text::Timer, TimerValue)>,
}

impl Timers {
    /// # Errors
    /// ENOMEM; ENOSPC if there are more than fit. No error if the kernel doesn't list timers:
    /// the supervisor can't see them either, and names that as a limit.
    pub(super) fn record() -> Result<Self, Errno> {
        let mut records = Records::new(MOST);
        let mut short = [0; SHORT_BYTES];
        let text = match procfs::read(c"/proc/self/timers", &mut short) {
            Ok(text) => text,
            // There are none, or the kernel has no such file (no checkpoint support).
            Err(procfs::SILENT | Errno(libc::ENOENT)) => return Ok(Self { records }),
            Err(errno) => return Err(errno),
        };
        if text.len() < SHORT_BYTES {
            list(text, &mut records)?;
            return Ok(Self { records });
        }
        let mut text = Records::<u8>::new(TEXT_BYTES);
        let long = text.fill()?;
        let outcome = match procfs::read(c"/proc/self/timers", long) {
            Ok(all) if all.len() == TEXT_BYTES => Err(Errno(libc::ENOSPC)),
            Ok(all) => list(all, &mut records),
            Err(errno) => Err(errno),
        };
        text.release();
        outcome?;
        Ok(Self { records })
    }

    /// Makes the timers again; returns how many failed.
    pub(super) fn restore(&self) -> u32 {
        let timers = self.records.entries();
        if timers.is_empty() {
            return 0;
        }
        let by_id = sys::restore_timer_ids(true).is_ok();
        let mut failed = 0;
        for (timer, value) in timers {
            let made = make(timer, by_id).and_then(|()| sys::set_timer_value(timer.id, value));
            failed += u32::from(made.is_err());
        }
        if by_id {
            let _ = sys::restore_timer_ids(false);
        }
        failed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.entries().is_empty()
    }

    /// Arms existing timers with the time that was left; returns how many are gone.
    pub(super) fn rearm(&self) -> u32 {
        let mut failed = 0;
        for (timer, value) in self.records.entries() {
            failed += u32::from(sys::set_timer_value(timer.id, value).is_err());
        }
        failed
    }

    pub(super) fn release(self) {
        self.records.release();
    }
}

fn list(text: &[u8], records: &mut Records<(proc_text::Timer, TimerValue)>) -> Result<(), Errno> {
    for timer in proc_text::timers(text) {
        records.push((timer, sys::timer_value(timer.id)?))?;
    }
    Ok(())
}

/// A processor-time clock contains the id of its thread or process.
fn clock_now(clock: i32) -> i32 {
    if clock >= 0 {
        return clock;
    }
    // The id's complement, above three bits with the kind of clock.
    match !(clock >> 3) {
        0 => clock,
        id => slots::new_tid_of(id).map_or(clock, |id| (!id << 3) | (clock & 7)),
    }
}

fn make(timer: &proc_text::Timer, by_id: bool) -> Result<(), Errno> {
    let target = if timer.notify & libc::SIGEV_THREAD_ID == 0 {
        0
    } else {
        // The thread has ended; it could not get the signal before either.
        slots::new_tid_of(timer.target).unwrap_or_else(sys::gettid)
    };
    let event = TimerEvent::new(timer.value, timer.signal, timer.notify, target);
    let clock = clock_now(timer.clock);
    if by_id {
        return sys::timer_create(clock, &event, timer.id).map(drop);
    }
    // Before Linux 6.15 ids can't be chosen: they count up.
    loop {
        let id = sys::timer_create(clock, &event, 0)?;
        if id == timer.id {
            return Ok(());
        }
        sys::timer_delete(id);
        if id > timer.id {
            return Err(Errno(libc::EBUSY));
        }
    }
}
