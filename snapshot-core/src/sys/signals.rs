//! Signals: masks, actions, sending, waiting.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "signal system calls")]

use core::mem::{MaybeUninit, size_of};
use core::ptr;

use super::{Result, arg, check, getpid, plain, small, with};
use crate::arch::syscall;

/// kill(2)
///
/// # Errors
/// As the manual page says.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    plain(libc::SYS_kill, [arg(pid), arg(signal), 0, 0, 0, 0]).map(drop)
}

/// tgkill(2)
///
/// # Errors
/// As the manual page says.
pub fn tgkill(pid: i32, tid: i32, signal: i32) -> Result<()> {
    plain(libc::SYS_tgkill, [arg(pid), arg(tid), arg(signal), 0, 0, 0]).map(drop)
}

/// A set of signals as the kernel has it: bit `n - 1` is signal `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal. The kernel leaves KILL and STOP out by itself.
    pub const ALL: Self = Self(u64::MAX);

    /// Every signal that libc lets a program block: all but the two that it needs
    /// itself, by the second of which threads are parked.
    pub const PROGRAM: Self = Self(!(0b11 << 31));

    /// A set of one. Numbers outside 1 to 64 give an empty set.
    pub const fn only(signal: i32) -> Self {
        if signal < 1 || signal > 64 {
            return Self(0);
        }
        Self(1 << (signal - 1))
    }

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set less the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the sets have a signal in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

fn sigprocmask(how: i32, set: Option<SignalSet>) -> SignalSet {
    let new = set.map_or(0, |set| set.0);
    let mut old = 0_u64;
    let new_pointer = if set.is_some() {
        (&raw const new).expose_provenance()
    } else {
        0
    };
    // SAFETY: both sets are eight bytes, the size that is passed along; they are locals.
    let _ = unsafe {
        syscall(
            libc::SYS_rt_sigprocmask,
            [
                arg(how),
                new_pointer,
                (&raw mut old).expose_provenance(),
                8,
                0,
                0,
            ],
        )
    };
    SignalSet(old)
}

/// Sets the calling thread's signal mask and gives back the old one.
pub fn set_mask(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_SETMASK, Some(set))
}

/// Takes signals out of the calling thread's mask.
pub fn unblock(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_UNBLOCK, Some(set))
}

/// Adds signals to the calling thread's mask.
pub fn block(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_BLOCK, Some(set))
}

/// Signals that wait for this thread or its process.
pub(crate) fn pending() -> SignalSet {
    let mut set = 0_u64;
    // SAFETY: rt_sigpending writes the eight bytes that it is told of.
    let _ = unsafe {
        syscall(
            libc::SYS_rt_sigpending,
            [(&raw mut set).expose_provenance(), 8, 0, 0, 0, 0],
        )
    };
    SignalSet(set)
}

/// The kernel's own `struct sigaction`, which is not libc's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelAction {
    /// The handler's address, or SIG_DFL, SIG_IGN.
    pub handler: usize,
    /// SA_* flags.
    pub flags: u64,
    /// The code that a handler returns to.
    pub restorer: usize,
    /// What is blocked while it runs.
    pub mask: SignalSet,
}

/// SA_RESTORER, which libc keeps to itself.
pub const SA_RESTORER: u64 = 0x0400_0000;

/// rt_sigaction(2). Writes the old action; sets `new` where it is given.
///
/// # Safety
/// A handler set here must be sound to run at any moment in any thread, and its
/// restorer must issue `rt_sigreturn`.
///
/// # Errors
/// EINVAL for a signal that can't be caught.
pub unsafe fn sigaction(signal: i32, new: Option<&KernelAction>) -> Result<KernelAction> {
    let mut old = KernelAction {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: SignalSet(0),
    };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both structures have the kernel's layout, and the set size is eight; the
    // caller vouches for the handler.
    check(unsafe {
        syscall(
            libc::SYS_rt_sigaction,
            [
                arg(signal),
                new.expose_provenance(),
                (&raw mut old).expose_provenance(),
                8,
                0,
                0,
            ],
        )
    })?;
    Ok(old)
}

/// signalfd4(2), non-blocking and close-on-exec.
///
/// # Errors
/// EMFILE and kin.
pub(crate) fn signalfd(set: SignalSet) -> Result<i32> {
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the set is eight bytes, as said.
    check(unsafe {
        syscall(
            libc::SYS_signalfd4,
            [
                arg(-1),
                (&raw const set.0).expose_provenance(),
                8,
                arg(flags),
                0,
                0,
            ],
        )
    })
    .map(small)
}

/// A signal read from a signalfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) signal: i32,
    pub(crate) code: i32,
    pub(crate) sender: i32,
}

/// The next signal of a signalfd, or `None` when there is none.
pub(crate) fn read_signalfd(fd: i32) -> Option<Arrived> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    // SAFETY: read writes at most the size given, which is the slot's.
    let read = check(unsafe {
        syscall(
            libc::SYS_read,
            [
                arg(fd),
                info.as_mut_ptr().expose_provenance(),
                size_of::<libc::signalfd_siginfo>(),
                0,
                0,
                0,
            ],
        )
    })
    .ok()?;
    if read != size_of::<libc::signalfd_siginfo>() {
        return None;
    }
    // SAFETY: plain numbers, and the kernel has written all of them.
    let info = unsafe { info.assume_init() };
    Some(Arrived {
        signal: i32::try_from(info.ssi_signo).unwrap_or(0),
        code: info.ssi_code,
        sender: i32::try_from(info.ssi_pid).unwrap_or(0),
    })
}

/// rt_sigtimedwait(2) without waiting: takes one pending signal off the queue.
pub(crate) fn take_pending(set: SignalSet) -> Option<i32> {
    let no_time = [0_i64; 2];
    // SAFETY: the set is eight bytes, the time a timespec of two longs; no info is wanted.
    check(unsafe {
        syscall(
            libc::SYS_rt_sigtimedwait,
            [
                (&raw const set.0).expose_provenance(),
                0,
                no_time.as_ptr().expose_provenance(),
                8,
                0,
                0,
            ],
        )
    })
    .ok()
    .map(small)
}

/// rt_sigtimedwait(2): sleeps until a blocked signal comes, and takes it off the queue.
pub(crate) fn wait_for_any_signal() {
    let set = SignalSet::ALL;
    // SAFETY: the set is eight bytes; no info is wanted, and no end.
    let _ = unsafe {
        with(
            libc::SYS_rt_sigtimedwait,
            [(&raw const set.0).expose_provenance(), 0, 0, 8],
        )
    };
}

/// The kernel's `siginfo`, as it is queued and taken off a queue.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo([u32; 32]);

impl SignalInfo {
    /// What a process queues with a value.
    pub fn queued(signal: i32, value: u64) -> Self {
        let mut words = [0; 32];
        words[0] = signal.cast_unsigned();
        words[2] = libc::SI_QUEUE.cast_unsigned();
        words[4] = getpid().cast_unsigned();
        words[6] = (value & 0xffff_ffff) as u32;
        words[7] = (value >> 32) as u32;
        Self(words)
    }

    /// The same, with the user that it says it comes from.
    pub fn by_user(mut self, user: u32) -> Self {
        self.0[5] = user;
        self
    }

    /// The SIGCHLD of a child that has ended, stopped or gone on, as the kernel lays it out.
    /// With
    /// `from_kernel` it says so too: only a process itself may queue that for itself.
    pub fn of_child(pid: i32, user: u32, status: i32, from_kernel: bool) -> Self {
        let (code, number) = if libc::WIFSTOPPED(status) {
            (libc::CLD_STOPPED, libc::WSTOPSIG(status))
        } else if libc::WIFCONTINUED(status) {
            (libc::CLD_CONTINUED, libc::SIGCONT)
        } else if libc::WIFEXITED(status) {
            (libc::CLD_EXITED, libc::WEXITSTATUS(status))
        } else if libc::WCOREDUMP(status) {
            (libc::CLD_DUMPED, libc::WTERMSIG(status))
        } else {
            (libc::CLD_KILLED, libc::WTERMSIG(status))
        };
        let code = if from_kernel { code } else { libc::SI_QUEUE };
        let mut words = [0; 32];
        words[0] = libc::SIGCHLD.cast_unsigned();
        words[2] = code.cast_unsigned();
        words[4] = pid.cast_unsigned();
        words[5] = user;
        words[6] = number.cast_unsigned();
        Self(words)
    }

    /// What a handler is given.
    ///
    /// # Safety
    /// `info` must be the second argument of a running handler.
    pub unsafe fn of_handler(info: *const libc::siginfo_t) -> Self {
        // SAFETY: the kernel has written a whole siginfo, of 128 bytes.
        Self(unsafe { info.cast::<[u32; 32]>().read() })
    }

    /// The process that has sent it, where one has. The kernel clears the field for its own.
    pub fn sender(&self) -> i32 {
        self.0[4].cast_signed()
    }

    /// The value that it carries, where it carries one.
    pub fn value(&self) -> u64 {
        u64::from(self.0[6]) | u64::from(self.0[7]) << 32
    }

    /// Where its sender says that it comes from.
    pub fn code(&self) -> i32 {
        self.0[2].cast_signed()
    }

    /// The user that it names.
    pub fn user(&self) -> u32 {
        self.0[5]
    }

    /// What it says of a child: the exit code or the signal.
    pub fn child_status(&self) -> i32 {
        self.0[6].cast_signed()
    }

    /// Which signal.
    pub fn signal(&self) -> i32 {
        self.0[0].cast_signed()
    }
}

/// rt_sigqueueinfo(2) to this process: signals of any origin may be put back.
///
/// # Errors
/// EAGAIN where the limit of queued signals is reached.
pub fn queue_to_self(info: &SignalInfo) -> Result<()> {
    queue_to_process(getpid(), info)
}

/// rt_sigqueueinfo(2). To another process only what is [`SignalInfo::queued`].
///
/// # Errors
/// EAGAIN where the limit of queued signals is reached; EPERM, ESRCH.
pub fn queue_to_process(pid: i32, info: &SignalInfo) -> Result<()> {
    // SAFETY: reads one siginfo of 128 bytes.
    unsafe {
        with(
            libc::SYS_rt_sigqueueinfo,
            [
                arg(pid),
                arg(info.signal()),
                ptr::from_ref(info).expose_provenance(),
            ],
        )
    }
    .map(drop)
}

/// rt_tgsigqueueinfo(2) to a thread of this process.
///
/// # Errors
/// ESRCH where it has ended; EAGAIN where the limit of queued signals is reached.
pub fn queue_to_thread(tid: i32, info: &SignalInfo) -> Result<()> {
    // SAFETY: reads one siginfo of 128 bytes.
    unsafe {
        with(
            libc::SYS_rt_tgsigqueueinfo,
            [
                arg(getpid()),
                arg(tid),
                arg(info.signal()),
                ptr::from_ref(info).expose_provenance(),
            ],
        )
    }
    .map(drop)
}

/// rt_sigtimedwait(2) without waiting: takes one pending signal off the queue, the
/// thread's own first, with all that is known of it.
pub(crate) fn take_pending_info(set: SignalSet) -> Option<SignalInfo> {
    let no_time = [0_i64; 2];
    let mut info = SignalInfo([0; 32]);
    // SAFETY: the set is eight bytes, the time a timespec of two longs, and one siginfo
    // of 128 bytes is written.
    unsafe {
        with(
            libc::SYS_rt_sigtimedwait,
            [
                (&raw const set.0).expose_provenance(),
                (&raw mut info).expose_provenance(),
                no_time.as_ptr().expose_provenance(),
                8,
            ],
        )
    }
    .ok()
    .map(|_| info)
}

/// Where a thread's handlers run that ask for it: `stack_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    start: usize,
    flags: i32,
    length: usize,
}

impl AlternateStack {
    /// None at all.
    pub(crate) const NONE: Self = Self {
        start: 0,
        flags: libc::SS_DISABLE,
        length: 0,
    };

    /// The same one, without the mark that the thread is on it.
    pub(crate) fn at_rest(self) -> Self {
        Self {
            flags: self.flags & !libc::SS_ONSTACK,
            ..self
        }
    }
}

/// sigaltstack(2): the calling thread's.
///
/// # Errors
/// None that can be caused here.
pub(crate) fn alternate_stack() -> Result<AlternateStack> {
    let mut stack = AlternateStack::NONE;
    // SAFETY: writes one `stack_t`.
    unsafe {
        with(
            libc::SYS_sigaltstack,
            [0, (&raw mut stack).expose_provenance()],
        )
    }?;
    Ok(stack)
}

/// sigaltstack(2): sets the calling thread's.
///
/// # Errors
/// EPERM while the thread is on the one it has.
pub(crate) fn set_alternate_stack(stack: &AlternateStack) -> Result<()> {
    // SAFETY: reads one `stack_t`; what it names was the thread's own before.
    unsafe {
        with(
            libc::SYS_sigaltstack,
            [ptr::from_ref(stack).expose_provenance(), 0],
        )
    }
    .map(drop)
}
