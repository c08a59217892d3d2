//! The course of a copy that goes back: the place where its runs begin, the handler that sees its system calls,
//! and the way back.
//!
//! Context: AS-SAFE.
#![expect(
    unsafe_code,
    reason = "returns to a place that has been left; a signal handler"
)]

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::{
    calls::Verdict,
    coverage,
    shared::{Again, ORDINARY, RUNS, WAITS, again},
    watch::{ALLOW, BLOCK, SIGSYS},
};
use crate::arch::{self, SyscallFrame};
use crate::sys::{self, SignalSet};

/// The code of a SIGSYS that the kernel sends for a call.
const SYS_USER_DISPATCH: i32 = 2;

/// Where a run begins. In a copy that may go back it returns again and again, once for each run; with all
/// memory as it was, so it is the same for the caller. Else it returns at once.
pub(crate) fn begin() {
    let Some(again) = again() else { return };
    if again.is_offered.swap(0, Ordering::AcqRel) != 0 {
        let open = sys::block(SignalSet::ALL);
        again.mask.store(open.0, Ordering::Relaxed);
        // SAFETY: the place is in memory that stays.
        unsafe { arch::park(again.place(), first) };
    }
}

/// On the first of several times.
unsafe extern "C" fn first(_: *mut c_void) {
    let Some(again) = again() else { return };
    // SAFETY: this is the copy.
    let copy = unsafe { again.copy() };
    copy.pages.forget();
    // SAFETY: the copy has one thread, with all signals blocked.
    match unsafe { copy.watch.begin(&again.means(on_call)) } {
        Ok(()) => {
            again.state.store(RUNS, Ordering::Relaxed);
            run(again);
        }
        Err(_) => {
            sys::close(again.descriptor());
            sys::set_mask(SignalSet(again.mask.load(Ordering::Relaxed)));
        }
    }
}

/// From here on every system call is seen.
fn run(again: &Again) {
    again.selector.store(BLOCK, Ordering::Relaxed);
    let mask = SignalSet(again.mask.load(Ordering::Relaxed));
    arch::set_mask_unseen(mask.without(SIGSYS).0);
}

/// The end of a run. If it has changed nothing but memory, this doesn't return: the copy goes back. Else it
/// returns, and the process has to end.
pub(crate) fn end(code: i32) {
    if let Some(again) = again()
        && again.state.load(Ordering::Acquire) == RUNS
    {
        // SAFETY: the copy is watched, and at the end of its run.
        unsafe { go_back(again, code) };
    }
}

/// # Safety
/// In a watched copy, when nothing of the run has to go on.
unsafe fn go_back(again: &Again, code: i32) {
    again.selector.store(ALLOW, Ordering::Relaxed);
    sys::set_mask(SignalSet::ALL);
    again.code.store(code & 0xff, Ordering::Relaxed);
    // SAFETY: the stack is used for this alone.
    unsafe { arch::on_stack(again.stacks[0].top(), reset, core::ptr::null_mut()) };
}

/// On a stack that is not the program's.
unsafe extern "C" fn reset(_: *mut c_void) {
    coverage::hide();
    let Some(again) = again() else { return };
    // SAFETY: this is the copy.
    let copy = unsafe { again.copy() };
    if copy.prepare().is_err() {
        // Something can't be undone. The template makes another copy.
        sys::exit_group(again.code.load(Ordering::Relaxed));
    }
    let asked = again.asked.load(Ordering::Relaxed);
    // In this order: if it is killed in between, the template hears of its end.
    let one = 1_u64.to_ne_bytes();
    let _ = sys::write_once(again.descriptor(), &one);
    again.state.store(WAITS, Ordering::Release);
    // While the template tells it, the pages are put back.
    // SAFETY: nothing of the program runs.
    unsafe { copy.pages.put_back() };
    while again.asked.load(Ordering::Acquire) == asked {
        let _ = sys::futex_wait_shared(&again.asked, asked, None);
    }
    run(again);
    arch::set_float_control(copy.watch.float());
    // SAFETY: the stack there is as it was when it was left the first time.
    unsafe { arch::unpark(again.place()) };
}

/// A system call of the run's.
///
/// # Safety
/// For the kernel.
unsafe extern "C" fn on_call(_: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(again) = again() else { return };
    again.selector.store(ALLOW, Ordering::Relaxed);
    coverage::hide();
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: the kernel has written it.
    let code = unsafe { (*info).si_code };
    // SAFETY: the kernel's frame; nobody else looks at it.
    let mut frame = unsafe { SyscallFrame::new(context) };
    // SAFETY: this is the copy.
    let watch = unsafe { &mut again.copy().watch };
    let verdict = if code == SYS_USER_DISPATCH && is_native(info) {
        let number = frame.number();
        // SAFETY: the kernel has stopped it before this call.
        unsafe { watch.calls.judge(number, &mut frame) }
    } else {
        Verdict::Leaves
    };
    match verdict {
        Verdict::Made(result) => {
            frame.set_result(result);
            coverage::show();
            again.selector.store(BLOCK, Ordering::Relaxed);
        }
        Verdict::Ends(code) => {
            // SAFETY: the program has ended.
            unsafe { go_back(again, code) }
        }
        Verdict::Leaves => {
            if code == SYS_USER_DISPATCH {
                let number = frame.number();
                frame.rewind(number);
            } else {
                // Somebody has sent it. It is for the program.
                let _ = sys::kill(sys::getpid(), libc::SIGSYS);
            }
            // SAFETY: this is the handler.
            unsafe { leave(again, context) };
            coverage::show();
        }
    }
}

/// Whether the program has called 64-bit Linux.
fn is_native(info: *const libc::siginfo_t) -> bool {
    // SAFETY: the handler's argument.
    unsafe { arch::is_native_call(info) }
}

/// The copy becomes an ordinary one.
///
/// # Safety
/// `context` must be the third argument of the running handler.
unsafe fn leave(again: &Again, context: *mut libc::ucontext_t) {
    again.state.store(ORDINARY, Ordering::Release);
    // SAFETY: this is the copy.
    let watch = unsafe { &again.copy().watch };
    // SAFETY: the caller's promise.
    unsafe { watch.leave(context, SignalSet(again.mask.load(Ordering::Relaxed))) };
    sys::close(again.descriptor());
}
