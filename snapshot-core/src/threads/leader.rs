//! Runs work in the program's first thread, whichever thread was asked. The thread that makes
//! the copy is the copy's only thread, and its id is the copy's process id. So it must be the
//! first thread.
//!
//! A program whose first thread has ended goes on with the others; then any thread will do.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "hands a function to another thread")]

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use libc::ucontext_t;

use super::{
    own_stack::{self, Stack},
    restart, takeover,
    unparked::{not_signalled, unparked},
};
use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
};
use crate::sys::{self, Errno};
use crate::terms::{Asleep, InterruptedCall, Obstacle, Step};

/// The leader has nothing to do.
const IDLE: u32 = 0;
/// The leader was sent the signal.
const CALLED: u32 = 1;
/// The leader works.
const AT_IT: u32 = 2;
/// The leader has finished.
const DONE: u32 = 3;
/// There is no memory for the leader's stack.
const FAILED: u32 = 4;

static STATE: AtomicU32 = AtomicU32::new(IDLE);

struct Work {
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
    interrupted_call: InterruptedCall,
}

struct WorkCell(UnsafeCell<Option<Work>>);

// SAFETY: written by the thread that has the turn, before it sets CALLED (release), and
// read by the leader after it has seen that (acquire).
unsafe impl Sync for WorkCell {}

static WORK: WorkCell = WorkCell(UnsafeCell::new(None));

/// How long the leader may take to come, and how long if it only waits for a processor.
const PATIENCE_NS: u64 = 1_000_000_000;
const LONGEST_NS: u64 = 3_000_000_000;

/// The value of the signal that calls the leader: an address of ours that no slot has.
pub(crate) fn call_value() -> usize {
    STATE.as_ptr().expose_provenance()
}

/// The state of this process's first thread; `Z` or `X` if it has ended while others live.
fn state_of_leader(tasks: i32) -> u8 {
    let mut buffer = [0; 320];
    procfs::read_task(tasks, sys::getpid(), TaskFile::Stat, &mut buffer)
        .ok()
        .and_then(proc_text::stat)
        .map_or(b'X', |stat| stat.state)
}

fn waits_for_a_processor() -> bool {
    procfs::open_tasks().is_ok_and(|tasks| {
        let state = state_of_leader(tasks);
        sys::close(tasks);
        state == b'R'
    })
}

/// Calls `function(argument)` in the program's first thread, and returns when that has
/// finished. In a copy of the process this thread returns too, once the copy's first thread has
/// revived it.
///
/// # Errors
/// [`Obstacle::Unparked`] if the first thread does not come; then nothing has been called.
///
/// # Safety
/// The caller must have the turn and run by [`super::own_stack::on_callers_stack`]. All signals
/// of the program must be blocked, and `function` must be fit to run in a signal handler.
pub(crate) unsafe fn run(
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
) -> Result<(), Obstacle> {
    let failed = |errno: Errno| Obstacle::Failed(Step::Park, errno.0);
    let leader = sys::getpid();
    if sys::gettid() == leader {
        // SAFETY: the caller's promise.
        unsafe { function(argument) };
        return Ok(());
    }
    let tasks = procfs::open_tasks().map_err(failed)?;
    if matches!(state_of_leader(tasks), b'Z' | b'X') {
        sys::close(tasks);
        // SAFETY: the caller's promise.
        unsafe { function(argument) };
        return Ok(());
    }
    let interrupted_call = InterruptedCall::of(tasks, leader);
    // The work may record what the program has open.
    sys::close(tasks);
    call(leader, function, argument, interrupted_call).map_err(|errno| match errno {
        Errno(libc::EAGAIN) => with_tasks(|tasks| not_signalled(tasks, leader)),
        errno => failed(errno),
    })?;
    wait_for_leader(leader)
}

/// Says why the leader does not come.
fn with_tasks(why: impl FnOnce(i32) -> Obstacle) -> Obstacle {
    match procfs::open_tasks() {
        Ok(tasks) => {
            let why = why(tasks);
            sys::close(tasks);
            why
        }
        Err(errno) => Obstacle::Failed(Step::Park, errno.0),
    }
}

fn call(
    leader: i32,
    function: unsafe fn(*mut c_void),
    argument: *mut c_void,
    interrupted_call: InterruptedCall,
) -> sys::Result<()> {
    // SAFETY: see `WorkCell`: this thread has the turn, and nothing has been called.
    unsafe {
        WORK.0.get().write(Some(Work {
            function,
            argument,
            interrupted_call,
        }));
    }
    takeover::install()?;
    STATE.store(CALLED, Ordering::Release);
    takeover::send(leader, call_value()).inspect_err(|_| {
        STATE.store(IDLE, Ordering::Release);
        takeover::remove();
    })
}

fn wait_for_leader(leader: i32) -> Result<(), Obstacle> {
    let begun_ns = sys::now_ns();
    loop {
        match STATE.load(Ordering::Acquire) {
            DONE => return Ok(()),
            FAILED => return Err(Obstacle::Failed(Step::Park, libc::ENOMEM)),
            state => sys::futex_wait(&STATE, state, Some(20_000_000)),
        }
        let waited_ns = sys::now_ns() - begun_ns;
        // Once it works there is no limit.
        if waited_ns >= PATIENCE_NS
            && (waited_ns >= LONGEST_NS || !waits_for_a_processor())
            && STATE
                .compare_exchange(CALLED, IDLE, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            let obstacle = with_tasks(|tasks| unparked(tasks, leader));
            takeover::remove();
            return Err(obstacle);
        }
    }
}

/// The leader's part, in its signal handler.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub(crate) unsafe fn answer(context: *mut ucontext_t) {
    let at_it = STATE.compare_exchange(CALLED, AT_IT, Ordering::AcqRel, Ordering::Acquire);
    if at_it.is_err() {
        // The signal came too late. SAFETY: the caller's promise.
        unsafe { restart::restart(context, takeover::SIGNAL, &InterruptedCall::default(), None) };
        return;
    }
    // SAFETY: see `WorkCell`: CALLED was seen.
    let Some(work) = (unsafe { (*WORK.0.get()).take() }) else {
        return;
    };
    // SAFETY: the caller's promise.
    let elapsed_ns = unsafe { restart::elapsed_ns(context, &work.interrupted_call, Asleep::now) };
    // SAFETY: as the thread that has called has promised `run`.
    let state = match unsafe { own_stack::run(Stack::Leader, work.function, work.argument) } {
        Ok(()) => DONE,
        Err(_) => FAILED,
    };
    STATE.store(state, Ordering::Release);
    sys::futex_wake(&STATE, i32::MAX);
    // SAFETY: the caller's promise.
    unsafe {
        restart::restart(
            context,
            takeover::SIGNAL,
            &work.interrupted_call,
            elapsed_ns,
        )
    };
}
