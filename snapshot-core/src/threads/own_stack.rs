//! The engine's own stacks, for work that is too much for a signal handler's stack: Rust's
//! alternate stacks have 8 KB, and a frame with AVX-512 registers takes nearly half of that.
//!
//! One is for the thread that has the turn (see [`super::turn`]), and one for the program's
//! first thread, which works for it. While a thread is on such a stack it has no alternate
//! stack: a second signal would begin at its top again, over the first one's frame. And it can
//! be parked there, which takes another frame.
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
/// A guard page below each stack: an overflow crashes, and overwrites nothing.
const GUARD: usize = 4096;

/// Which stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stack {
    /// For the thread that has the turn.
    Caller = 0,
    /// For the first thread, when another thread has called it.
    Leader = 1,
}

/// The top of each stack; 0 until it is made.
static TOPS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Makes a stack, unless it exists.
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

/// Calls `function(argument)` on the stack of the thread that has the turn.
///
/// # Errors
/// ENOMEM if there is no memory for the stack; then nothing has been called.
///
/// # Safety
/// The caller must have the turn, and must not be on this stack. `function` may return twice,
/// in two processes.
pub(crate) unsafe fn on_callers_stack(
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
) -> sys::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { run(Stack::Caller, function, argument) }
}

/// Calls `function(argument)` on one of the stacks.
///
/// # Errors
/// ENOMEM if there is no memory for the stack; then nothing has been called.
///
/// # Safety
/// As [`on_callers_stack`]; only the called leader may use its stack.
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
    // SAFETY: the stack is ours, and by the caller's promise no other thread is on it; the
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
        // The kernel alone says whether the thread is on it; we can't set that.
        let _ = sys::set_alternate_stack(&alternate.at_rest());
    }
}
