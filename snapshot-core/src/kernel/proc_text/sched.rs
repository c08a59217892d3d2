//! `sched`: when a thread last ran.
//!
//! Context: AS-SAFE.

use super::words::decimal;

/// `se.exec_start` in `/proc/PID/task/TID/sched`, in nanoseconds of its processor's clock:
/// when a sleeping thread was last on a processor.
pub fn last_ran_ns(text: &[u8]) -> Option<u64> {
    let value = scheduling(text, b"se.exec_start")?;
    let point = value.iter().position(|&byte| byte == b'.')?;
    let milliseconds = u64::try_from(decimal(value.get(..point)?)?).ok()?;
    let fraction = value.get(point + 1..)?;
    // Six digits of a millisecond are nanoseconds.
    if fraction.len() != 6 {
        return None;
    }
    let nanoseconds = u64::try_from(decimal(fraction)?).ok()?;
    milliseconds
        .checked_mul(1_000_000)?
        .checked_add(nanoseconds)
}

/// `se.avg.last_update_time` in `/proc/PID/task/TID/sched`, in nanoseconds of another clock of
/// the processor's: when a sleeping thread last took part in the processor's load.
pub fn last_loaded_ns(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(scheduling(text, b"se.avg.last_update_time")?)?).ok()
}

/// `nr_voluntary_switches` in `/proc/PID/task/TID/sched`: how often a thread has gone to sleep.
pub fn voluntary_switches(text: &[u8]) -> Option<u64> {
    u64::try_from(decimal(scheduling(text, b"nr_voluntary_switches")?)?).ok()
}

/// A value of `/proc/PID/task/TID/sched`.
fn scheduling<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = text
        .split(|&byte| byte == b'\n')
        .find(|line| line.starts_with(name))?;
    Some(line.rsplit(|&byte| byte == b':').next()?.trim_ascii())
}
