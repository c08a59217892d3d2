//! `status`: signals and memory.
//!
//! Context: AS-SAFE.

use super::words::{decimal, field, hexadecimal, kilobytes};
use crate::sys::SignalSet;

/// From `/proc/PID/status`: how many signals are queued for all processes of this user.
pub fn queued_signals(text: &[u8]) -> Option<i64> {
    decimal(field(text, "SigQ:")?.split(|&byte| byte == b'/').next()?)
}

/// A set of signals in `/proc/PID/status`: `SigBlk:`, `ShdPnd:` and so on.
pub fn signals(text: &[u8], name: &str) -> Option<SignalSet> {
    hexadecimal(field(text, name)?).map(SignalSet)
}

/// A process's resident memory, by its `status`; 0 if that doesn't show it.
pub fn resident_bytes(status: &[u8]) -> u64 {
    kilobytes(status, "VmRSS:").unwrap_or(0) * 1024
}
