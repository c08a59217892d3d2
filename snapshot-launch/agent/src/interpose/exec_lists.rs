//! execl, execlp and execle: the exec functions with a list of arguments.
//!
//! Rust can't define variadic functions, so a few instructions gather the arguments, and the
//! functions of [`super::exec`] do the rest.
//!
//! Context: AS-SAFE, since exec may be called from anywhere.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int};

use super::exec::{execv, execve, execvp};
use crate::errno;
use crate::session::{Bump, Strings};

// Five arguments are in registers, and are pushed so that they lie in order; the caller has put
// the rest on the stack. The stack is aligned for the call: 8 bytes of return address and 40
// pushed.
macro_rules! variadic {
    ($(#[$doc:meta])* $name:ident, $gather:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "lea r10, [rsp + 8]",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "mov rdx, r10",
                "call {gather}",
                "add rsp, 40",
                "ret",
                gather = sym $gather,
            )
        }
    };
}

variadic!(
    /// execl(3) of the program.
    execl, gather_execl
);
variadic!(
    /// execlp(3) of the program.
    execlp, gather_execlp
);
variadic!(
    /// execle(3) of the program.
    execle, gather_execle
);

/// The arguments of a variadic call as an array, up to the null, and the argument after it.
///
/// # Safety
/// As laid out by the code above.
unsafe fn gather(
    bump: &mut Bump,
    in_registers: Strings,
    on_stack: Strings,
) -> Option<(Strings, Strings)> {
    let array = bump.next();
    let mut index = 0_usize;
    let mut argument = || {
        let at = if index < 5 {
            // SAFETY: five were pushed.
            unsafe { in_registers.add(index) }
        } else {
            // SAFETY: the caller has passed a null in the end, and we stop after it.
            unsafe { on_stack.add(index - 5) }
        };
        index += 1;
        // SAFETY: as above.
        unsafe { *at }
    };
    loop {
        let next = argument();
        bump.pointer(next)?;
        if next.is_null() {
            break;
        }
    }
    // Only `execle` has one; the others ignore this word.
    let after = argument();
    Some((array.cast::<*const c_char>().cast_const(), after.cast()))
}

fn exec_gathered(
    in_registers: Strings,
    on_stack: Strings,
    exec: impl Fn(Strings, Strings) -> c_int,
) -> c_int {
    let Some(mut bump) = Bump::new() else {
        errno::set(libc::ENOMEM);
        return -1;
    };
    // SAFETY: laid out by the code above.
    let answer = match unsafe { gather(&mut bump, in_registers, on_stack) } {
        Some((arguments, after)) => exec(arguments, after),
        None => {
            errno::set(libc::E2BIG);
            -1
        }
    };
    bump.free();
    answer
}

/// # Safety
/// Called by the code above alone.
unsafe extern "C" fn gather_execl(
    path: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: a path and arguments as the program gave them.
    exec_gathered(registers, stack, |arguments, _| unsafe {
        execv(path, arguments)
    })
}

/// # Safety
/// As above.
unsafe extern "C" fn gather_execlp(
    file: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: as above.
    exec_gathered(registers, stack, |arguments, _| unsafe {
        execvp(file, arguments)
    })
}

/// # Safety
/// As above.
unsafe extern "C" fn gather_execle(
    path: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    exec_gathered(registers, stack, |arguments, environment| {
        // SAFETY: as above.
        unsafe { execve(path, arguments, environment) }
    })
}
