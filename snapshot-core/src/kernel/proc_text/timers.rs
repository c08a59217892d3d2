//! `timers`: a process's POSIX timers.
//!
//! Context: AS-SAFE.

use super::words::{decimal, hexadecimal};

/// A timer of `/proc/PID/timers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The kernel's id.
    pub id: i32,
    /// The signal that it sends.
    pub signal: i32,
    /// The data of that signal.
    pub value: u64,
    /// SIGEV_SIGNAL, SIGEV_NONE; SIGEV_THREAD_ID is added if it names a thread.
    pub notify: i32,
    /// The thread or process that gets the signal.
    pub target: i32,
    /// CLOCK_*, or a negative number for a processor-time clock.
    pub clock: i32,
}

/// Reads `/proc/PID/timers`: four lines a timer, `ID:`, `signal: 34/00007ffc...`,
/// `notify: signal/pid.123`, `ClockID: 1`.
pub fn timers(text: &[u8]) -> impl Iterator<Item = Timer> {
    let mut lines = text.split(|&byte| byte == b'\n');
    core::iter::from_fn(move || {
        let id = loop {
            if let Some(id) = lines.next()?.strip_prefix(b"ID:") {
                break i32::try_from(decimal(id.trim_ascii())?).ok()?;
            }
        };
        let signal = lines.next()?.strip_prefix(b"signal:")?.trim_ascii();
        let slash = signal.iter().position(|&byte| byte == b'/')?;
        let notify = lines.next()?.strip_prefix(b"notify:")?.trim_ascii();
        let dot = notify.iter().rposition(|&byte| byte == b'.')?;
        let how = notify.get(..dot)?;
        let mut kind = match how.split(|&byte| byte == b'/').next()? {
            b"signal" => libc::SIGEV_SIGNAL,
            b"thread" => libc::SIGEV_THREAD,
            _ => libc::SIGEV_NONE,
        };
        if how.ends_with(b"/tid") {
            kind |= libc::SIGEV_THREAD_ID;
        }
        let clock = lines.next()?.strip_prefix(b"ClockID:")?.trim_ascii();
        Some(Timer {
            id,
            signal: i32::try_from(decimal(signal.get(..slash)?)?).ok()?,
            value: hexadecimal(signal.get(slash + 1..)?)?,
            notify: kind,
            target: i32::try_from(decimal(notify.get(dot + 1..)?)?).ok()?,
            clock: i32::try_from(decimal(clock)?).ok()?,
        })
    })
}
