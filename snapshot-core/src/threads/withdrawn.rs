//! A call that the kernel was to ask the journal about, and a signal came before the journal had
//! received the question: the kernel takes the question back, and nothing has happened. If the
//! signal's handler has SA_RESTART, the call restarts. Else it returns EINTR, to a program that
//! expects none: without a journal an `unlink` can't be interrupted. So the call is issued again
//! here.
//!
//! A call that can return EINTR by itself keeps it: the open of a FIFO or a device waits, and a
//! large `fallocate` stops for a signal. Whether the kernel has begun such a call doesn't show.
//!
//! Limits: the number of the call must show ([`super::call_number`]). In glibc 2.41 and later it
//! does not in `open`, `openat` and `creat` when the program calls them by these names: their
//! system call is one that all points of cancellation share. In static programs, and behind
//! handlers that a program installs by a system call of its own after the first take, such an
//! EINTR is seen too.
//!
//! Context: AS-SAFE. In signal handlers.
#![expect(unsafe_code, reason = "rewrites registers in a signal frame")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::call_number;
use crate::arch::SyscallFrame;
use crate::sys;
use crate::terms::Call;
use crate::terms::file_calls::{ARCH_X86_64, FileCall};

/// Whether the kernel asks the journal about this process's calls. Never unset: nothing takes a
/// filter away.
static ASKS: AtomicBool = AtomicBool::new(false);

/// The kernel asks from now on. Call it while every other thread is parked.
pub(crate) fn begin() {
    ASKS.store(true, Ordering::Release);
}

/// Whether calls may be taken back.
pub fn may_be() -> bool {
    ASKS.load(Ordering::Acquire)
}

/// Issues the interrupted call of a handler's context again, if it was taken back.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub unsafe fn issue_again(context: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise; no other reference into the context is alive.
    let mut frame = unsafe { SyscallFrame::new(context) };
    repeat(&mut frame, None);
}

/// Issues the call again, if it was taken back; `known` is its number, if that is known. False
/// if it was not.
pub(super) fn repeat(frame: &mut SyscallFrame<'_>, known: Option<i64>) -> bool {
    if !may_be() || frame.result_if_in_syscall() != Some(-i64::from(libc::EINTR)) {
        return false;
    }
    let number = known.or_else(|| call_number::of(frame, |number| call(number).is_some()));
    match number {
        Some(number) if never_returns_eintr(frame, number) => {
            frame.rewind(number);
            true
        }
        _ => false,
    }
}

/// Whether the thread is about to make a call that no signal can interrupt.
pub(super) fn is_about_to_be_repeated(frame: &mut SyscallFrame<'_>) -> bool {
    may_be()
        && frame
            .number_of_next_call()
            .is_some_and(|number| never_returns_eintr(frame, number))
}

/// Whether the kernel asks the journal about this call.
pub(crate) fn is_asked(call: &Call) -> bool {
    may_be() && self::call(call.number).is_some_and(|asked| asked.is_asked(&call.arguments))
}

fn call(number: i64) -> Option<FileCall> {
    FileCall::of(ARCH_X86_64, u32::try_from(number).ok()?)
}

/// Whether the kernel asks about this call, and never interrupts it once it has begun.
fn never_returns_eintr(frame: &mut SyscallFrame<'_>, number: i64) -> bool {
    let arguments: [u64; 6] = core::array::from_fn(|index| frame.argument(index).cast_unsigned());
    let [first, second, third, ..] = arguments;
    match call(number).filter(|call| call.is_asked(&arguments)) {
        None | Some(FileCall::Fallocate) => false,
        Some(FileCall::Open | FileCall::Creat) => opens_at_once(AT_CURRENT, first),
        Some(FileCall::OpenAt | FileCall::OpenAt2) => opens_at_once(first, second),
        // Its file has no name here.
        Some(FileCall::OpenByHandleAt) => third & WITHOUT_WAITING != 0,
        Some(_) => true,
    }
}

const AT_CURRENT: u64 = libc::AT_FDCWD as i64 as u64;
const WITHOUT_WAITING: u64 = libc::O_NONBLOCK as u64;

/// Whether an open of this path doesn't wait for anything. If the path names nothing, the open
/// itself will find out.
fn opens_at_once(directory: u64, path: u64) -> bool {
    sys::mode_at(directory, path).is_none_or(|mode| {
        matches!(
            mode & libc::S_IFMT,
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFLNK
        )
    })
}
