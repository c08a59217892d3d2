//! The number of the call that a thread was interrupted in. A signal frame doesn't hold it.
//!
//! It is known from the agent's own `syscall` function, which leaves it on the stack; or from
//! the code before the return address, as in libc's wrappers.
//!
//! Context: AS-SAFE.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arch::SyscallFrame;
use crate::sys;

/// The return address in a `syscall` function that leaves the number on the stack; 0 if there
/// is none.
static SYSCALL_RETURN: AtomicUsize = AtomicUsize::new(0);

/// Registers a `syscall` function that pushes the call's number just before the kernel's return
/// address `address`.
pub fn set_syscall_return(address: usize) {
    SYSCALL_RETURN.store(address, Ordering::Release);
}

/// The number, if it is one of these calls.
pub(super) fn of(frame: &mut SyscallFrame<'_>, is_such: impl Fn(i64) -> bool) -> Option<i64> {
    let (program, stack) = frame.position();
    if program == SYSCALL_RETURN.load(Ordering::Acquire) {
        let mut number = [0; 8];
        sys::read_own_memory(stack, &mut number).ok()?;
        return Some(i64::from_ne_bytes(number)).filter(|&number| is_such(number));
    }
    frame.number_from_code(is_such)
}
