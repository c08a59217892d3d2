//! What Rust can't express: parking a thread so that another can take its place, making that
//! thread, and switching stacks.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "functions written in assembly")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The end of [`park`]: from its frame back to its caller.
macro_rules! leave_parked {
    () => {
        "add rsp, 8\npop r15\npop r14\npop r13\npop r12\npop rbx\npop rbp\nret"
    };
}

/// Parks the calling thread: saves the callee-saved registers, stores the stack pointer at
/// `place`, and calls `wait(place)`. Returns when that does; in a copy of the process it
/// returns in the thread that [`spawn_parked`] has made instead.
///
/// # Safety
/// `place` must be writable until the thread has returned, here and in every copy.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn park(place: *mut c_void, wait: unsafe extern "C" fn(*mut c_void)) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdi], rsp",
        "call rsi",
        leave_parked!(),
    )
}

/// Returns from [`park`] once more, where the calling thread has returned from before.
///
/// # Safety
/// The stack at `place` and above must be as it was then.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn unpark(place: *mut c_void) -> ! {
    naked_asm!("mov rsp, [rdi]", leave_parked!(),)
}

/// clone3 of a thread that continues a parked one in the copied memory: on its stack it calls
/// `begin(place)`, and then returns from its [`park`].
///
/// Returns clone3's result, in the caller alone.
///
/// # Safety
/// `arguments` must name a stack that ends where `place` says, and all that the parked
/// thread needs.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn spawn_parked(
    arguments: *const c_void,
    size: usize,
    place: *mut c_void,
    begin: unsafe extern "C" fn(*mut c_void),
) -> i64 {
    naked_asm!(
        "mov r8, rdx",
        "mov r9, rcx",
        "mov eax, 435", // clone3
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        // The new thread has the caller's registers, and its own stack.
        "2:",
        "mov rdi, r8",
        "call r9",
        leave_parked!(),
    )
}

/// clone3 of a process that shares this one's memory and continues it on the same stack. It
/// returns 0 there, and the caller ends without touching the memory. If there is no such
/// process, the caller gets a negative errno.
///
/// # Safety
/// `arguments` must name no stack. The calling thread must be the only one of its process,
/// with all signals blocked.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn become_child(arguments: *const c_void, size: usize) -> i64 {
    naked_asm!(
        "mov eax, 435", // clone3
        "syscall",
        "test rax, rax",
        "jg 2f",
        "ret",
        // The new process uses this stack now.
        "2:",
        "xor edi, edi",
        "mov eax, 231", // exit_group
        "syscall",
        "jmp 2b",
    )
}

/// clone3 of a task with its own stack, where it calls `begin(argument)`, which must not
/// return. Returns clone3's result, in the caller alone.
///
/// # Safety
/// `arguments` must name a stack with no other user.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn spawn_aside(
    arguments: *const c_void,
    size: usize,
    argument: *mut c_void,
    begin: unsafe extern "C" fn(*mut c_void) -> !,
) -> i64 {
    naked_asm!(
        "mov r8, rdx",
        "mov r9, rcx",
        "mov eax, 435", // clone3
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "mov rdi, r8",
        "xor ebp, ebp",
        "call r9",
        "ud2",
    )
}

/// Calls `function(argument)` on another stack, which ends at `top`.
///
/// # Safety
/// `top` must be 16-byte aligned, with unused room below it.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn on_stack(
    top: *mut c_void,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

/// The code that a signal handler returns to. Debuggers recognise a handler's frame by these
/// very instructions.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn restore_from_signal() {
    naked_asm!(
        "mov rax, 15",
        "syscall",
        // `set_mask_unseen` comes here, at UNSEEN_MASK.
        ".skip 7, 0x90",
        "mov r10, rcx",
        "mov eax, 14", // rt_sigprocmask
        "syscall",
        "ret",
    )
}

/// The distance of its second part: the first has 9 bytes.
const UNSEEN_MASK: usize = 16;

/// Where system calls may be made that nobody is to see: the address and the length of the code.
pub(crate) fn gate() -> (usize, usize) {
    ((restore_from_signal as *const ()).addr(), 2 * UNSEEN_MASK)
}

/// rt_sigprocmask(2) from the code of [`gate`]: sets which signals are blocked.
pub(crate) fn set_mask_unseen(mask: u64) {
    type Call = unsafe extern "C" fn(usize, *const u64, *mut u64, usize) -> i64;
    let place = (restore_from_signal as *const ()).wrapping_byte_add(UNSEEN_MASK);
    // SAFETY: the code there takes these arguments.
    let call = unsafe { core::mem::transmute::<*const (), Call>(place) };
    let how = libc::SIG_SETMASK.unsigned_abs() as usize;
    // SAFETY: reads eight bytes, and writes nothing to null.
    unsafe { call(how, &raw const mask, ptr::null_mut(), 8) };
}

/// What [`enter_shielded`] calls, with a handler's arguments. It returns the handler to go on
/// with.
pub(crate) type BeforeHandler =
    unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t) -> usize;

/// Null before [`shielded_by`].
static BEFORE_HANDLER: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// A signal handler that calls `before`, and jumps to the handler which that returns. That one
/// finds the arguments and the stack as the kernel has left them, and returns to the kernel.
pub(crate) fn shielded_by(before: BeforeHandler) -> usize {
    // Release: who finds the handler installed finds this too.
    BEFORE_HANDLER.store(before as *mut c_void, Ordering::Release);
    enter_shielded as *const () as usize
}

#[unsafe(naked)]
unsafe extern "C" fn enter_shielded() {
    naked_asm!(
        // With the return address, these make a multiple of 16.
        "push rdi",
        "push rsi",
        "push rdx",
        "call [rip + {before}]",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "mov r11, rax",
        // As the kernel has it.
        "xor eax, eax",
        "jmp r11",
        before = sym BEFORE_HANDLER,
    )
}
