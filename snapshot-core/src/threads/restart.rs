//! Restarts the call that a thread was interrupted in, as if nothing had happened.
//!
//! SA_RESTART does not cover calls with a timeout (poll, select, nanosleep, ...): they return
//! EINTR, and a program that expects no signal takes that for an error. So the call is issued
//! again, with the time that was left.
//!
//! A signal frame doesn't hold the call's number. It is known from a look at the thread before
//! the signal; or from the agent's own `syscall` function, which leaves it on the stack; or
//! from the code before the return address, as in libc's wrappers.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "rewrites registers in a signal frame")]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{
    call_number,
    limits::{self, Limit},
    transfers::{self, Course},
    withdrawn,
};
use crate::arch::{self, SyscallFrame};
use crate::sys::{self, KernelAction, SignalSet};
use crate::terms::{Asleep, Clock, InterruptedCall};

/// Counts calls that could not be issued again, since their number was unknown.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How many calls have returned EINTR because of us since the last look.
pub(crate) fn take_lost() -> u32 {
    LOST.swap(0, Ordering::AcqRel)
}

/// Restarts the interrupted call of a handler's context, if `signal`, which is being handled,
/// has cut it short. It is unknown how long the call had lasted.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub unsafe fn restart_interrupted_call(signal: i32, context: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise.
    unsafe { restart(context, signal, &InterruptedCall::default(), None) }
}

/// A thread that the trigger's handler has interrupted, without a look at it before.
///
/// If the supervisor sent the signal, it looked at the thread first, and says during the take
/// what it saw. By then it is too late to look at the clock, so `note` does that here.
#[derive(Debug)]
pub struct Interrupted {
    signal: i32,
    context: *mut libc::ucontext_t,
    /// When and on which processor it was woken, by each of its clocks. [`InterruptedCall`]
    /// says which clock counts.
    woken: [Option<Asleep>; 2],
}

impl Interrupted {
    /// Looks at the clock, if the thread was in a call that was cut short.
    ///
    /// # Safety
    /// `context` must be the third argument of the running handler, and the answer must
    /// not be used after it.
    pub unsafe fn note(signal: i32, context: *mut libc::ucontext_t) -> Self {
        // SAFETY: the caller's promise.
        let mut frame = unsafe { SyscallFrame::new(context) };
        Self {
            signal,
            context,
            woken: if may_be_cut_short(&mut frame) {
                [Clock::Ran, Clock::Load].map(Asleep::now)
            } else {
                [None; 2]
            },
        }
    }

    /// Restarts the call.
    ///
    /// # Safety
    /// The handler must still be running.
    pub unsafe fn go_on(self, interrupted_call: &InterruptedCall) {
        // SAFETY: the caller's promise.
        let elapsed_ns = unsafe {
            elapsed_ns(self.context, interrupted_call, |clock| {
                self.woken[clock as usize]
            })
        };
        // SAFETY: as above.
        unsafe { restart(self.context, self.signal, interrupted_call, elapsed_ns) };
    }
}

/// How long the thread interrupted in `context` had been in the call that was seen before, if
/// that matters. `woken` says when and where it was woken.
///
/// # Safety
/// As above.
pub(crate) unsafe fn elapsed_ns(
    context: *mut libc::ucontext_t,
    interrupted_call: &InterruptedCall,
    woken: impl FnOnce(Clock) -> Option<Asleep>,
) -> Option<u64> {
    let asleep = interrupted_call.asleep?;
    // SAFETY: the caller's promise.
    let mut frame = unsafe { SyscallFrame::new(context) };
    let first = [*frame.argument(0), *frame.argument(1)];
    if !may_be_cut_short(&mut frame) || !interrupted_call.is_of(frame.position(), first) {
        return None;
    }
    asleep.until(woken(asleep.clock)?)
}

/// Whether the thread returns from a call with an interruption, or with a number that may be
/// too small.
fn may_be_cut_short(frame: &mut SyscallFrame<'_>) -> bool {
    frame
        .result_if_in_syscall()
        .is_some_and(|result| result > 0 || result == -i64::from(libc::EINTR))
}

/// The time limit of a call.
fn limit_ns(limit: Limit, arguments: &[u64; 6]) -> Option<u64> {
    match limit {
        Limit::Milliseconds(index) => {
            limits::milliseconds(arguments[index])?.checked_mul(1_000_000)
        }
        Limit::Time(index) => limits::read_time_ns(arguments[index]),
        Limit::Socket { receives } => limits::socket_limit_ns(arguments[0], receives),
    }
}

/// Restarts the interrupted call of a context. `by` is the signal that is being handled.
///
/// # Safety
/// As [`restart_interrupted_call`].
pub(crate) unsafe fn restart(
    context: *mut libc::ucontext_t,
    by: i32,
    interrupted_call: &InterruptedCall,
    elapsed_ns: Option<u64>,
) {
    // SAFETY: the caller's promise.
    let mask = unsafe { &raw const (*context).uc_sigmask };
    // SAFETY: a `sigset_t` begins with the kernel's set of 64 bits.
    let mask = SignalSet(unsafe { mask.cast::<u64>().read() });
    // SAFETY: the caller's promise; no other reference into the context is alive.
    let mut frame = unsafe { SyscallFrame::new(context) };
    let due = sys::pending().without(mask);
    if let Some(rest) = arch::Owned::of(&mut frame) {
        if interrupts(due, None) {
            // Without us the thread would not make this call.
            if frame.is_about_to_call() {
                frame.interrupt();
            }
        } else if let Some(result) = frame.result_if_in_syscall() {
            transfers::go_on_with_rest(rest, &mut frame, result);
        }
        return;
    }
    if let Some(moved) = frame.result_if_in_syscall().filter(|&result| result > 0) {
        if let Some(number) = number_of(&mut frame, interrupted_call)
            && transfers::may_be_short(number)
            && !interrupts(due, None)
        {
            move_the_rest(&mut frame, number, moved, interrupted_call, elapsed_ns);
        }
        return;
    }
    if frame.result_if_in_syscall() != Some(-i64::from(libc::EINTR)) {
        // The kernel restarts the call for our handler, but would not for the program's, which
        // runs next.
        if interrupts(due, Some(libc::SA_RESTART))
            && frame.is_about_to_call()
            && !withdrawn::is_about_to_be_repeated(&mut frame)
        {
            frame.interrupt();
        }
        return;
    }
    let seen = number_seen(&mut frame, interrupted_call);
    if withdrawn::repeat(&mut frame, seen) {
        return;
    }
    // The program has another signal to handle, so its EINTR is genuine.
    if interrupts(due, None) {
        return;
    }
    let Some(number) = number_of(&mut frame, interrupted_call) else {
        LOST.fetch_add(1, Ordering::AcqRel);
        return;
    };
    let meanwhile = mask_meanwhile(&mut frame, number, mask);
    let by = SignalSet::only(by);
    // The call blocks our signal, so another one has ended it and has been handled.
    if meanwhile.is_some_and(|mask| mask.meets(by)) {
        return;
    }
    // If the thread was not seen in this call, it has begun it since, or it is just returning
    // from a handler of its own that interrupted the call. The program must see that EINTR.
    // This happens only if the handler kept our signal waiting, or if our signal met its very
    // return. That is rare, but a program that waits for signals can hang if it misses one.
    let (program, stack) = frame.position();
    let first = [*frame.argument(0), *frame.argument(1)];
    if !interrupted_call.is_of((program, stack), first)
        && (interrupted_call.looked || meanwhile.is_some())
        && if interrupted_call.looked && meanwhile.is_some() {
            interrupts(handled_by_program(), None)
        } else {
            keeps_waiting(by)
        }
        // A signal that the call lets through is pending, and will interrupt it again: EINTR
        // before its handler has run would be wrong.
        && !meanwhile.is_some_and(|mask| interrupts(sys::pending().without(mask), None))
    {
        return;
    }
    match number {
        // The kernel has written the time that is left to the caller's memory, if anywhere.
        libc::SYS_nanosleep if *frame.argument(1) != 0 => {
            *frame.argument(0) = *frame.argument(1);
        }
        libc::SYS_clock_nanosleep
            if *frame.argument(3) != 0
                && *frame.argument(1) & i64::from(libc::TIMER_ABSTIME) == 0 =>
        {
            *frame.argument(2) = *frame.argument(3);
        }
        _ => {
            if let Some(elapsed_ns) = elapsed_ns
                && shorten(&mut frame, number, elapsed_ns)
            {
                return;
            }
        }
    }
    frame.rewind(number);
}

/// Makes the thread move the rest of the call's bytes.
///
/// If the thread was not seen in the call, it may be returning from a handler of its own that
/// ended the call. But our signal reaches a thread in its handlers too, so this would have to
/// happen within the few instructions of the return; and the transfer ends all the same.
fn move_the_rest(
    frame: &mut SyscallFrame<'_>,
    number: i64,
    moved: i64,
    interrupted_call: &InterruptedCall,
    elapsed_ns: Option<u64>,
) {
    let arguments = core::array::from_fn(|index| frame.argument(index).cast_unsigned());
    let limit_ns = limits::of_call(number, &arguments)
        .and_then(|limit| limit_ns(limit, &arguments))
        .filter(|&limit_ns| limit_ns > 0);
    let left_ns = limit_ns.map(|limit_ns| limit_ns.saturating_sub(elapsed_ns.unwrap_or(0)));
    // The call returned because its time was over.
    if left_ns == Some(0) {
        return;
    }
    let first = [*frame.argument(0), *frame.argument(1)];
    let control_length = interrupted_call
        .control_length
        .filter(|_| interrupted_call.is_of(frame.position(), first));
    if transfers::go_on(frame, number, moved, left_ns, control_length) == Course::Lost {
        LOST.fetch_add(1, Ordering::AcqRel);
    }
}

/// The mask in force while a call waits, if a signal is its normal end: it waits for nothing
/// else, or lets signals through that are blocked before and after.
fn mask_meanwhile(frame: &mut SyscallFrame<'_>, number: i64, mask: SignalSet) -> Option<SignalSet> {
    let read = |place: i64| {
        let mut word = [0; 8];
        let place = usize::try_from(place).ok().filter(|&place| place != 0)?;
        sys::read_own_memory(place, &mut word).ok()?;
        Some(u64::from_ne_bytes(word))
    };
    match number {
        libc::SYS_pause => Some(mask),
        libc::SYS_rt_sigsuspend => read(*frame.argument(0)).map(SignalSet),
        libc::SYS_ppoll => read(*frame.argument(3)).map(SignalSet),
        libc::SYS_epoll_pwait | limits::EPOLL_PWAIT2 => read(*frame.argument(4)).map(SignalSet),
        // The address of a mask's address and length.
        libc::SYS_pselect6 => read(*frame.argument(5))
            .and_then(|place| read(place.cast_signed()))
            .map(SignalSet),
        _ => None,
    }
}

/// Signals that a thread causes itself: they interrupt no call.
const SYNCHRONOUS: SignalSet = SignalSet::only(libc::SIGSEGV)
    .with(SignalSet::only(libc::SIGBUS))
    .with(SignalSet::only(libc::SIGILL))
    .with(SignalSet::only(libc::SIGFPE))
    .with(SignalSet::only(libc::SIGTRAP))
    .with(SignalSet::only(libc::SIGSYS))
    .with(SignalSet::only(libc::SIGABRT));

/// Signals that the session handles. Its handlers repair what they interrupt.
static SESSION: AtomicU64 = AtomicU64::new(0);

/// Sets the signals that the session handles.
pub fn set_session_signals(set: SignalSet) {
    SESSION.store(set.0, Ordering::Release);
}

/// Signals with which the program's handlers interrupt no call by themselves.
pub(super) fn untouched() -> SignalSet {
    SYNCHRONOUS.with(session())
}

fn session() -> SignalSet {
    SignalSet(SESSION.load(Ordering::Acquire))
}

/// The signals that can interrupt a call because the program handles them.
fn handled_by_program() -> SignalSet {
    SignalSet::PROGRAM.without(SYNCHRONOUS).without(session())
}

/// Whether one of these signals has a handler that interrupts calls: any handler, or one
/// without a certain flag.
fn interrupts(set: SignalSet, unless: Option<i32>) -> bool {
    any_handler(set, |action| {
        unless.is_none_or(|flag| action.flags & u64::from(flag.unsigned_abs()) == 0)
    })
}

/// Whether the program has a handler that keeps one of these signals waiting.
fn keeps_waiting(by: SignalSet) -> bool {
    any_handler(handled_by_program(), |action| action.mask.meets(by))
}

fn any_handler(set: SignalSet, is_such: impl Fn(&KernelAction) -> bool) -> bool {
    let mut left = set.0;
    while left != 0 {
        let signal = left.trailing_zeros().cast_signed() + 1;
        left &= left - 1;
        // SAFETY: asks only.
        let Ok(action) = (unsafe { sys::sigaction(signal, None) }) else {
            continue;
        };
        let is_handled = action.handler != libc::SIG_DFL && action.handler != libc::SIG_IGN;
        if is_handled && is_such(&action) {
            return true;
        }
    }
    false
}

/// Whether the program has a handler without SA_RESTART, apart from the session's signals. Then
/// nothing tells which handler has interrupted a call that the kernel itself would have
/// restarted.
pub fn has_interrupting_handler() -> bool {
    interrupts(handled_by_program(), Some(libc::SA_RESTART))
}

/// The number of the interrupted call, if the thread was seen in it.
fn number_seen(frame: &mut SyscallFrame<'_>, interrupted_call: &InterruptedCall) -> Option<i64> {
    let first = [*frame.argument(0), *frame.argument(1)];
    let call = interrupted_call.call?;
    // The number of the restarted call is wanted.
    let is_it =
        interrupted_call.is_of(frame.position(), first) && call.number != libc::SYS_restart_syscall;
    is_it.then_some(call.number)
}

/// The number of the interrupted call.
fn number_of(frame: &mut SyscallFrame<'_>, interrupted_call: &InterruptedCall) -> Option<i64> {
    if let Some(number) = number_seen(frame, interrupted_call) {
        return Some(number);
    }
    call_number::of(frame, arch::is_interruptible)
}

/// Gives a restarted call the time that is left; true if the call restarts in another way than
/// by itself.
fn shorten(frame: &mut SyscallFrame<'_>, number: i64, elapsed_ns: u64) -> bool {
    let arguments = core::array::from_fn(|index| frame.argument(index).cast_unsigned());
    let Some(limit) = limits::of_call(number, &arguments) else {
        return false;
    };
    let Some(limit_ns) = limit_ns(limit, &arguments) else {
        return false;
    };
    // If none is left, the thread was woken in time, but got its processor later. The call
    // itself must report the timeout; a 0 would mean not to wait, or to wait for ever.
    let left_ns = limit_ns.saturating_sub(elapsed_ns).max(1);
    match limit {
        Limit::Milliseconds(index) => {
            *frame.argument(index) = i64::try_from(left_ns.div_ceil(1_000_000)).unwrap_or(0);
            false
        }
        Limit::Time(index) => {
            *frame.argument(index) = limits::place_time(left_ns).cast_signed() as i64;
            false
        }
        Limit::Socket { receives } => {
            let events = if receives {
                libc::POLLIN
            } else {
                libc::POLLOUT
            };
            arch::wait_first(frame, number, events, left_ns);
            true
        }
    }
}
