//! The registers of an interrupted thread, in its signal frame.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "reads and writes a signal frame")]

use super::{call_number, detour};
use crate::arch::can_read_own_memory;

/// The registers that restart an interrupted thread's system call.
pub(crate) struct SyscallFrame<'a> {
    registers: &'a mut [i64; 23],
}

impl<'a> SyscallFrame<'a> {
    /// The frame inside a signal handler's third argument.
    ///
    /// # Safety
    /// `context` must be the third argument of a running SA_SIGINFO handler, with no other
    /// reference into it for as long as `'a`.
    pub(crate) unsafe fn new(context: *mut libc::ucontext_t) -> Self {
        // SAFETY: the kernel wrote a whole `ucontext_t` there, which stays until the handler
        // returns; by the caller's promise nothing aliases it.
        let registers = unsafe { &mut (*context).uc_mcontext.gregs };
        Self { registers }
    }

    pub(super) fn register(&mut self, index: i32) -> &mut i64 {
        // The libc crate's register numbers are all within the array.
        &mut self.registers[index.unsigned_abs() as usize % 23]
    }

    /// The result of the interrupted call, if the thread was in one: the kernel leaves the
    /// return address in RCX. A thread interrupted elsewhere has it there only by chance.
    pub(crate) fn result_if_in_syscall(&mut self) -> Option<i64> {
        let pc = *self.register(libc::REG_RIP);
        (*self.register(libc::REG_RCX) == pc).then(|| *self.register(libc::REG_RAX))
    }

    /// The number of the interrupted call, read from the code before the return address; `None`
    /// if the code doesn't show one of these calls.
    pub(crate) fn number_from_code(&mut self, is_such: impl Fn(i64) -> bool) -> Option<i64> {
        let (program, _) = self.position();
        let mut code = [0_u8; call_number::FAR];
        // Through the kernel, since the bytes before a return address may not be mapped.
        let mut read = |length: usize| {
            let place = code.get_mut(..length)?;
            can_read_own_memory(program.checked_sub(length)?, place).then_some(())?;
            Some(length)
        };
        let length = read(call_number::FAR).or_else(|| read(call_number::NEAR))?;
        let code = code.get_mut(..length)?;
        detour::without_jumps(program.checked_sub(length)?, code);
        call_number::before(code, is_such)
    }

    /// Whether the thread is about to make a call that can be interrupted. That is the state
    /// after the kernel has moved it back to restart one, for a handler with SA_RESTART.
    pub(crate) fn is_about_to_call(&mut self) -> bool {
        self.number_of_next_call()
            .is_some_and(call_number::is_interruptible)
    }

    /// The number of the call that the thread is about to make.
    pub(crate) fn number_of_next_call(&mut self) -> Option<i64> {
        let (program, _) = self.position();
        let mut code = [0_u8; 2];
        (can_read_own_memory(program, &mut code) && code == call_number::SYSCALL)
            .then(|| *self.register(libc::REG_RAX))
    }

    /// Makes the thread return EINTR instead of the call that it is about to make.
    pub(crate) fn interrupt(&mut self) {
        *self.register(libc::REG_RIP) += 2; // the length of `syscall`
        *self.register(libc::REG_RCX) = *self.register(libc::REG_RIP);
        *self.register(libc::REG_RAX) = -i64::from(libc::EINTR);
    }

    /// The number of a call that the kernel has shown instead of making it.
    pub(crate) fn number(&mut self) -> i64 {
        *self.register(libc::REG_RAX)
    }

    /// What such a call returns.
    pub(crate) fn set_result(&mut self, result: i64) {
        *self.register(libc::REG_RAX) = result;
    }

    /// Where the thread will go on, and its stack pointer.
    pub(crate) fn position(&mut self) -> (usize, usize) {
        let address = |value: i64| usize::from_ne_bytes(value.to_ne_bytes());
        (
            address(*self.register(libc::REG_RIP)),
            address(*self.register(libc::REG_RSP)),
        )
    }

    /// Argument `index` of the call, 0 to 5.
    pub(crate) fn argument(&mut self, index: usize) -> &mut i64 {
        const ORDER: [i32; 6] = [
            libc::REG_RDI,
            libc::REG_RSI,
            libc::REG_RDX,
            libc::REG_R10,
            libc::REG_R8,
            libc::REG_R9,
        ];
        self.register(ORDER[index % 6])
    }

    /// Makes the thread issue call `number` again when the handler returns.
    pub(crate) fn rewind(&mut self, number: i64) {
        *self.register(libc::REG_RIP) -= 2; // the length of `syscall`
        *self.register(libc::REG_RAX) = number;
    }
}

/// Whether a SIGSYS is for a call of this processor's own kind, by the numbers of 64-bit Linux.
///
/// # Safety
/// `info` must be the second argument of the running handler.
pub(crate) unsafe fn is_native_call(info: *const libc::siginfo_t) -> bool {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    /// The last member of the signal's own part.
    const ARCH: usize = 28;
    let place: *const u32 = info.wrapping_byte_add(ARCH).cast();
    // SAFETY: the kernel has written a whole `siginfo_t`.
    unsafe { place.read_unaligned() == AUDIT_ARCH_X86_64 }
}
