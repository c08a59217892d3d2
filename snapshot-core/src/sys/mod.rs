//! All raw system calls of the engine, one wrapper each, by theme.
//!
//! Context: AS-SAFE. The wrappers don't touch `errno`: they run in signal handlers of a
//! program that may be about to read it.
#![expect(unsafe_code, reason = "this is where the system calls are")]

mod events;
mod files;
mod filters;
mod ipc;
mod memory;
mod pipes;
mod processes;
mod signals;
mod sockets;
mod terminal;
mod threads;
mod time;

pub(crate) use events::*;
pub use files::*;
pub use filters::*;
pub use ipc::*;
pub use memory::*;
pub(crate) use pipes::*;
pub use processes::*;
pub use signals::*;
pub use sockets::lingers;
pub(crate) use sockets::*;
pub(crate) use terminal::*;
pub use threads::*;
pub use time::*;

use crate::arch::syscall;

/// A kernel error number; 0 if the failure was not the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

#[cfg(feature = "std")]
impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

/// What a wrapper returns.
pub type Result<T> = core::result::Result<T, Errno>;

fn check(answer: i64) -> Result<usize> {
    usize::try_from(answer).map_err(|_| Errno(i32::try_from(-answer).unwrap_or(libc::EINVAL)))
}

/// Ids and descriptors from the kernel fit an `i32` by its contract.
fn small(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn arg(value: i32) -> usize {
    // C calls extend the sign in the same way.
    value as isize as usize
}

/// A call of up to six arguments.
///
/// # Safety
/// The arguments must be what the named call expects; see its manual page.
unsafe fn with<const N: usize>(number: i64, arguments: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = argument;
    }
    // SAFETY: the caller's promise.
    check(unsafe { syscall(number, all) })
}

/// A call with plain numbers for arguments; it can't harm memory.
fn plain<const N: usize>(number: i64, arguments: [usize; N]) -> Result<usize> {
    // SAFETY: used only with calls that take no pointers or a null one.
    unsafe { with(number, arguments) }
}
