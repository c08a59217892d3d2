//! The `syscall` function, as libc's, with one difference: during the call its number lies on
//! the stack. So a call that a snapshot has interrupted can be issued again; in libc's own
//! function the number is lost once the call is made. It costs a push, and four comparisons for
//! filters and exec.
//!
//! The mutexes, condition variables and parked threads of Rust's standard library wait in it.
//!
//! Context: AS-SAFE.

use core::arch::naked_asm;

use snapshot_core::threads::call_number;

use super::{exec, filters};

unsafe extern "C" {
    /// The instruction after the system call, in the function below.
    #[link_name = "cargo_snapshot_syscall_return"]
    static RETURN: u8;
}

/// Tells the engine the return address of this function's calls.
pub(crate) fn tell_return_address() {
    call_number::set_syscall_return((&raw const RETURN).addr());
}

/// syscall(2): a call by its number, with up to six arguments.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        // The agent looks at filters before they are set.
        "cmp rdi, {seccomp}",
        "je 3f",
        "cmp rdi, {prctl}",
        "je 3f",
        // An exec carries the agent along, however the program calls it.
        "cmp rdi, {execve_number}",
        "je 4f",
        "cmp rdi, {execveat_number}",
        "je 5f",
        "push rdi",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        // The seventh argument, above the number and the return address.
        "mov r9, [rsp + 16]",
        "syscall",
        ".globl cargo_snapshot_syscall_return",
        ".hidden cargo_snapshot_syscall_return",
        "cargo_snapshot_syscall_return:",
        "cmp rax, -4095",
        "jae 2f",
        "add rsp, 8",
        "ret",
        "2:",
        "neg eax",
        "mov [rsp], rax",
        "call {errno_location}",
        "pop rcx",
        "mov [rax], ecx",
        "mov rax, -1",
        "ret",
        "3:",
        "jmp {by_number}",
        "4:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "jmp {execve}",
        "5:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov rcx, r8",
        "mov r8, r9",
        "jmp {execveat}",
        execve_number = const libc::SYS_execve,
        execveat_number = const libc::SYS_execveat,
        execve = sym exec::by_number,
        execveat = sym exec::at_by_number,
        errno_location = sym errno_location,
        seccomp = const libc::SYS_seccomp,
        prctl = const libc::SYS_prctl,
        by_number = sym filters::by_number,
    )
}

/// Where libc keeps `errno`.
extern "C" fn errno_location() -> *mut core::ffi::c_int {
    // SAFETY: has no precondition.
    unsafe { libc::__errno_location() }
}
