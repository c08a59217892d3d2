//! x86_64 Linux.
//!
//! Context: AS-SAFE.
#![expect(
    unsafe_code,
    reason = "system calls and the registers of an interrupted thread"
)]

use core::arch::asm;

/// `clone3`, which the libc crate does not name on every target.
pub(crate) const SYS_CLONE3: i64 = 435;

/// One system call with up to six arguments; the kernel's answer, a negative errno on
/// failure. Does not touch `errno`, which belongs to the interrupted program.
///
/// # Safety
/// The arguments must be what the named call expects; see its manual page.
#[inline(always)]
pub(crate) unsafe fn syscall(number: i64, arguments: [usize; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let answer: i64;
    // SAFETY: the `syscall` instruction clobbers rcx and r11 alone, which are declared;
    // the caller vouches for what the kernel does with the arguments. Memory is assumed
    // changed, since no `nomem` is given.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// The registers of an interrupted thread that a system call is restarted by.
pub(crate) struct SyscallFrame<'a> {
    registers: &'a mut [i64; 23],
}

impl<'a> SyscallFrame<'a> {
    /// The frame inside a signal handler's third argument.
    ///
    /// # Safety
    /// `context` must be the third argument of a running SA_SIGINFO handler, and no
    /// other reference into it may live as long as `'a`.
    pub(crate) unsafe fn new(context: *mut libc::ucontext_t) -> Self {
        // SAFETY: the kernel wrote a whole `ucontext_t` there, which stays until the
        // handler returns; the caller promises that it is not aliased.
        let registers = unsafe { &mut (*context).uc_mcontext.gregs };
        Self { registers }
    }

    fn register(&mut self, index: i32) -> &mut i64 {
        // The libc crate's register numbers are all within the array.
        &mut self.registers[index.unsigned_abs() as usize % 23]
    }

    /// What the interrupted call returned, if the thread was in one at all: the kernel
    /// leaves the return address in RCX, and a thread interrupted elsewhere has it there
    /// only by chance.
    pub(crate) fn result_if_in_syscall(&mut self) -> Option<i64> {
        let pc = *self.register(libc::REG_RIP);
        (*self.register(libc::REG_RCX) == pc).then(|| *self.register(libc::REG_RAX))
    }

    /// The number of the interrupted call, read from the `mov $number, %eax; syscall`
    /// that libc's wrappers consist of. `None` where the code looks otherwise.
    pub(crate) fn number_from_code(&mut self) -> Option<i64> {
        let pc = usize::try_from(*self.register(libc::REG_RIP)).ok()?;
        let mut code = [0_u8; 7];
        // Read through the kernel: the bytes before a return address need not be mapped.
        crate::sys::read_own_memory(pc.checked_sub(7)?, &mut code).ok()?;
        let [0xb8, a, b, c, d, 0x0f, 0x05] = code else {
            return None;
        };
        Some(i64::from(u32::from_le_bytes([a, b, c, d])))
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
