//! `syscall`: what a thread does in the kernel.
//!
//! Context: AS-SAFE.

use super::words::{decimal, hexadecimal, words};
use crate::terms::{Call, Doing};

/// Reads `/proc/PID/task/TID/syscall`.
pub fn doing(text: &[u8]) -> Option<Doing> {
    let mut words = words(text);
    let first = words.next()?;
    if first == b"running" {
        return Some(Doing::Running);
    }
    let number = decimal(first)?;
    if number < 0 {
        return Some(Doing::NoCall);
    }
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = hexadecimal(words.next()?)?;
    }
    Some(Doing::Call(Call {
        number,
        arguments,
        stack: hexadecimal(words.next()?)?,
        program: hexadecimal(words.next()?)?,
    }))
}
