//! Stacks of our own, for what is too much for a signal handler's: Rust's alternate stacks
//! have 8 KB, of which a frame with AVX-512 registers takes nearly half.
//!
//! There is one for the thread whose turn it is, see [`super::turn`], and one for the
//! program's first thread, which works for it. While a thread is on one it has no
//! alternate stack: a second signal would begin at its top again, over the first one's
//! frame. And while it is on one it can be parked, which takes another frame.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "switches stacks")]

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arch;
use crate::kernel::reserve;
use crate::sys::{self, AlternateStack, SignalSet};

const BYTES: usize = 256 << 10;
/// Below it: an overflow must be a crash, and not a write into something else.
const GUARD: usize = 4096;

/// Whose stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// The thread's whose turn it is.
    Caller = 0,
    /// The first thread's, when another one has called it.
    Leader = 1,
}

/// Where each ends; 0 until it is made.
static TOPS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Makes a stack, once.
fn prepare(stack: Stack) -> sys::Result<usize> {
    let place = &TOPS[stack as usize];
    let top = place.load(Ordering::Acquire);
    if top != 0 {
        return Ok(top);
    }
    let memory = reserve::lasting_memory(GUARD + BYTES).ok_or(sys::Errno(libc::ENOMEM))?;
    let start = memory.as_ptr().expose_provenance();
    sys::protect_from_all(start, GUARD)?;
    let top = start + GUARD + BYTES;
    place.store(top, Ordering::Release);
    Ok(top)
}

struct Call {
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
    alternate: Option<AlternateStack>,
}

/// Calls `function(argument)` on the stack of the thread whose turn it is.
///
/// # Errors
/// ENOMEM where there is no memory for it; nothing has been called then.
///
/// # Safety
/// It must be the caller's turn, and this must not be called from there again. `function`
/// may come back twice, in two processes.
pub(crate) unsafe fn aside(
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
) -> sys::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { run(Stack::Caller, function, argument) }
}

/// Calls `function(argument)` on one of the stacks.
///
/// # Errors
/// ENOMEM where there is no memory for it; nothing has been called then.
///
/// # Safety
/// As [`aside`]; for the leader's it must be the leader that was called.
pub(crate) unsafe fn run(
    stack: Stack,
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
) -> sys::Result<()> {
    let top = prepare(stack)?;
    let mut call = Call {
        function,
        argument,
        alternate: sys::alternate_stack().ok(),
    };
    // SAFETY: the stack is ours, and by the caller's promise nobody else is on it; the
    // argument outlives the call.
    unsafe {
        arch::on_stack(
            ptr::with_exposed_provenance_mut(top),
            there,
            (&raw mut call).cast(),
        );
    }
    Ok(())
}

unsafe extern "C" fn there(call: *mut c_void) {
    // SAFETY: `run` passes a live one.
    let call = unsafe { &mut *call.cast::<Call>() };
    let _ = sys::set_alternate_stack(&AlternateStack::NONE);
    let open = sys::unblock(SignalSet::ALL.without(SignalSet::PROGRAM));
    // SAFETY: as `run`'s caller has promised.
    unsafe { (call.function)(call.argument) };
    sys::set_mask(open);
    if let Some(alternate) = &call.alternate {
        // Whether the thread was on it is the kernel's to say, not ours to set.
        let _ = sys::set_alternate_stack(&alternate.at_rest());
    }
}
