//! The call that a thread was interrupted in goes on as if nothing had happened.
//!
//! SA_RESTART does not cover calls with a timeout (poll, select, nanosleep, ...): they
//! return EINTR, and a program that never expected a signal takes that for an error. So
//! the call is issued again, with the time that was left.
//!
//! Its number is not in a signal frame. It is known from a look at the thread before
//! the signal; or from the agent's own `syscall` function, which leaves it on the stack;
//! or from the code before the return address, as libc's wrappers are written.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "rewrites registers in a signal frame")]

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::{
    limits::{self, Limit},
    transfers::{self, Course},
};
use crate::arch::{self, SyscallFrame};
use crate::sys::{self, KernelAction, SignalSet};
use crate::terms::{Asleep, Clock, InterruptedCall};

/// Where a function `syscall` that leaves the number on the stack returns from the
/// kernel; 0 where there is none.
static SYSCALL_RETURN: AtomicUsize = AtomicUsize::new(0);

/// Calls that could not be issued again, since their number was not to be known.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Tells of a `syscall` function that has pushed the call's number just before the
/// kernel's return address `address`.
pub fn set_syscall_return(address: usize) {
    SYSCALL_RETURN.store(address, Ordering::Release);
}

/// How many calls have returned EINTR because of us since the last look.
pub(crate) fn take_lost() -> u32 {
    LOST.swap(0, Ordering::AcqRel)
}

/// Makes the interrupted call of a handler's context start again, if it was cut short
/// by `signal`, which is being handled. Nothing is known of how long it had lasted.
///
/// # Safety
/// `context` must be the third argument of the running handler.
pub unsafe fn restart_interrupted_call(signal: i32, context: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise.
    unsafe { restart(context, signal, &InterruptedCall::default(), None) }
}

/// A thread that our trigger's handler has interrupted, of which nothing was known before.
///
/// If the supervisor has sent the signal, it looked at the thread first, and says what it
/// saw in the course of the take; by then it is too late to look at the clock.
#[derive(Debug)]
pub struct Interrupted {
    signal: i32,
    context: *mut libc::ucontext_t,
    /// When it was woken, on which processor, by each of its clocks: which one counts only
    /// the [`InterruptedCall`] tells.
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

    /// Makes the call start again.
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

/// How long the thread that was interrupted in `context` had been in the call
/// that was seen before, where that matters. `woken` says when and where it was woken.
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

/// Whether the thread comes back from a call with an interruption, or with a number, which
/// may be less than it would have been.
fn may_be_cut_short(frame: &mut SyscallFrame<'_>) -> bool {
    frame
        .result_if_in_syscall()
        .is_some_and(|result| result > 0 || result == -i64::from(libc::EINTR))
}

/// How much time a call was given.
fn limit_ns(limit: Limit, arguments: &[u64; 6]) -> Option<u64> {
    match limit {
        Limit::Milliseconds(index) => {
            limits::milliseconds(arguments[index])?.checked_mul(1_000_000)
        }
        Limit::Time(index) => limits::read_time_ns(arguments[index]),
        Limit::Socket { receives } => limits::socket_limit_ns(arguments[0], receives),
    }
}

/// Makes the interrupted call of a context start again. `by` is the signal that is being
/// handled.
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
            // What it is about to ask for again would not have been asked for.
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
        // The kernel starts it again for our handler, but would not have for the program's,
        // which runs next.
        if interrupts(due, Some(libc::SA_RESTART)) && frame.is_about_to_call() {
            frame.interrupt();
        }
        return;
    }
    // Another signal that the program would be interrupted by: its EINTR is genuine.
    if interrupts(due, None) {
        return;
    }
    let Some(number) = number_of(&mut frame, interrupted_call) else {
        LOST.fetch_add(1, Ordering::AcqRel);
        return;
    };
    let meanwhile = mask_meanwhile(&mut frame, number, mask);
    let by = SignalSet::only(by);
    // The call has kept our signal out: another one has ended it, and has been handled.
    if meanwhile.is_some_and(|mask| mask.meets(by)) {
        return;
    }
    // If the thread was not seen in this call, it has begun it since; or it is just coming
    // back from a handler of its own, for which the call was interrupted. That EINTR must
    // be seen. Only a handler that has kept our signal waiting until then can be the reason,
    // or one whose very return our signal has met: that is rare, but where a call waits for
    // signals one that is missed can hang the program.
    let (program, stack) = frame.position();
    let first = [*frame.argument(0), *frame.argument(1)];
    if !interrupted_call.is_of((program, stack), first)
        && (interrupted_call.looked || meanwhile.is_some())
        && if interrupted_call.looked && meanwhile.is_some() {
            interrupts(handled_by_program(), None)
        } else {
            keeps_waiting(by)
        }
        // A signal that the call lets through will interrupt it again, and has not been
        // handled: to come back before that would be an interruption by nothing.
        && !meanwhile.is_some_and(|mask| interrupts(sys::pending().without(mask), None))
    {
        return;
    }
    match number {
        // The kernel has written the time left where the caller wanted it, if anywhere.
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

/// Makes the thread move what its call has left over.
///
/// Where the thread was not seen in the call it may be coming back from a handler of its
/// own, for which the call has ended. But our signal reaches a thread in its handlers too,
/// so that this would have to happen within the few instructions of their return; and a
/// transfer that goes on ends all the same.
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
    // It came back because its time was over.
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

/// The mask that holds while a call waits, if it ends by a signal as it is meant to: it
/// waits for nothing else, or lets signals through that are blocked before and after.
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

/// The signals whose handlers are the session's, which repair what they interrupt.
static SESSION: AtomicU64 = AtomicU64::new(0);

/// Tells of the signals whose handlers are the session's.
pub fn set_session_signals(set: SignalSet) {
    SESSION.store(set.0, Ordering::Release);
}

fn session() -> SignalSet {
    SignalSet(SESSION.load(Ordering::Acquire))
}

/// The signals that can interrupt a call for the program's sake.
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

/// Whether the program has a handler that one of these signals has to wait for.
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

/// Whether the program has a handler that does not ask for restarts, apart from those of
/// the session's signals: where it can't be told which handler has interrupted a call that
/// the kernel itself would have gone on with.
pub fn has_interrupting_handler() -> bool {
    interrupts(handled_by_program(), Some(libc::SA_RESTART))
}

/// The number of the interrupted call.
fn number_of(frame: &mut SyscallFrame<'_>, interrupted_call: &InterruptedCall) -> Option<i64> {
    let (program, stack) = frame.position();
    let first = [*frame.argument(0), *frame.argument(1)];
    if let Some(call) = interrupted_call.call
        && interrupted_call.is_of((program, stack), first)
        // The number of the call that it had restarted is what is wanted.
        && call.number != libc::SYS_restart_syscall
    {
        return Some(call.number);
    }
    if program == SYSCALL_RETURN.load(Ordering::Acquire) {
        let mut number = [0; 8];
        sys::read_own_memory(stack, &mut number).ok()?;
        return Some(i64::from_ne_bytes(number));
    }
    frame.number_from_code()
}

/// Gives a call that starts again the time that is left; true where it starts again in
/// another way than by itself.
fn shorten(frame: &mut SyscallFrame<'_>, number: i64, elapsed_ns: u64) -> bool {
    let arguments = core::array::from_fn(|index| frame.argument(index).cast_unsigned());
    let Some(limit) = limits::of_call(number, &arguments) else {
        return false;
    };
    let Some(limit_ns) = limit_ns(limit, &arguments) else {
        return false;
    };
    // Where none is left the thread was woken in time, and got no processor until later. The
    // call itself is to say that it is over; nothing at all would mean not to wait, or for ever.
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
