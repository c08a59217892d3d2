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

/// A set of signals in the kernel's format: bit `n - 1` is signal `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal. The kernel ignores KILL and STOP in it.
    pub const ALL: Self = Self(u64::MAX);

    /// Every signal that libc lets a program block: all but libc's own two, and the second of
    /// these parks threads.
    pub const PROGRAM: Self = Self(!(0b11 << 31));

    /// A set of one signal. Numbers outside 1 to 64 give an empty set.
    pub const fn only(signal: i32) -> Self {
        if signal < 1 || signal > 64 {
            return Self(0);
        }
        Self(1 << (signal - 1))
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The intersection of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set is empty.
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
    // SAFETY: both sets are locals of eight bytes, and that size is passed along.
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

/// Sets the calling thread's signal mask and returns the old one.
pub fn set_mask(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_SETMASK, Some(set))
}

/// Removes signals from the calling thread's mask.
pub fn unblock(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_UNBLOCK, Some(set))
}

/// Adds signals to the calling thread's mask.
pub fn block(set: SignalSet) -> SignalSet {
    sigprocmask(libc::SIG_BLOCK, Some(set))
}

/// Signals pending for this thread or its process.
pub(crate) fn pending() -> SignalSet {
    let mut set = 0_u64;
    // SAFETY: rt_sigpending writes the eight bytes given.
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
    /// The code that the handler returns to.
    pub restorer: usize,
    /// The signals blocked while it runs.
    pub mask: SignalSet,
}

/// SA_RESTORER, which libc keeps to itself.
pub const SA_RESTORER: u64 = 0x0400_0000;

/// rt_sigaction(2). Returns the old action, and sets `new` if there is one.
///
/// # Safety
/// The new handler must be sound to run at any moment in any thread, and its restorer must
/// issue `rt_sigreturn`.
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

/// The next signal of a signalfd; `None` if there is none.
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

/// The kernel's `siginfo`, as in its queue.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo([u32; 32]);

impl SignalInfo {
    /// A signal with a value, as a process queues it.
    pub fn queued(signal: i32, value: u64) -> Self {
        let mut words = [0; 32];
        words[0] = signal.cast_unsigned();
        words[2] = libc::SI_QUEUE.cast_unsigned();
        words[4] = getpid().cast_unsigned();
        words[6] = (value & 0xffff_ffff) as u32;
        words[7] = (value >> 32) as u32;
        Self(words)
    }

    /// The same, with this user as its sender.
    pub fn by_user(mut self, user: u32) -> Self {
        self.0[5] = user;
        self
    }

    /// The SIGCHLD of a child that has ended, stopped or gone on, in the kernel's layout. With
    /// `from_kernel` the kernel is its sender: a process may queue that for itself alone.
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

    /// The `siginfo` of a running handler.
    ///
    /// # Safety
    /// `info` must be the second argument of a running handler.
    pub unsafe fn of_handler(info: *const libc::siginfo_t) -> Self {
        // SAFETY: the kernel has written a whole siginfo, of 128 bytes.
        Self(unsafe { info.cast::<[u32; 32]>().read() })
    }

    /// The process that has sent it, if one has. The kernel clears the field for its own
    /// signals.
    pub fn sender(&self) -> i32 {
        self.0[4].cast_signed()
    }

    /// Its value, if it has one.
    pub fn value(&self) -> u64 {
        u64::from(self.0[6]) | u64::from(self.0[7]) << 32
    }

    /// Its `si_code`, which names the origin.
    pub fn code(&self) -> i32 {
        self.0[2].cast_signed()
    }

    /// Its user.
    pub fn user(&self) -> u32 {
        self.0[5]
    }

    /// A child's exit code or signal.
    pub fn child_status(&self) -> i32 {
        self.0[6].cast_signed()
    }

    /// The signal's number.
    pub fn signal(&self) -> i32 {
        self.0[0].cast_signed()
    }
}

/// rt_sigqueueinfo(2) to this process, which allows signals of any origin.
///
/// # Errors
/// EAGAIN if too many signals are queued.
pub fn queue_to_self(info: &SignalInfo) -> Result<()> {
    queue_to_process(getpid(), info)
}

/// rt_sigqueueinfo(2). Another process can only be sent what [`SignalInfo::queued`] makes.
///
/// # Errors
/// EAGAIN if too many signals are queued; EPERM, ESRCH.
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
/// ESRCH if it has ended; EAGAIN if too many signals are queued.
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

/// rt_sigtimedwait(2) without waiting: takes one pending signal off the queue with all its
/// data, the thread's own first.
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

/// The alternate stack for handlers: `stack_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    start: usize,
    flags: i32,
    length: usize,
}

impl AlternateStack {
    /// No stack.
    pub(crate) const NONE: Self = Self {
        start: 0,
        flags: libc::SS_DISABLE,
        length: 0,
    };

    /// A stack in these bytes.
    pub(crate) const fn new(start: usize, length: usize) -> Self {
        Self {
            start,
            flags: 0,
            length,
        }
    }

    /// Whether the thread is on it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.flags & libc::SS_ONSTACK != 0
    }

    /// The same stack, without the mark that the thread is on it.
    pub(crate) fn at_rest(self) -> Self {
        Self {
            flags: self.flags & !libc::SS_ONSTACK,
            ..self
        }
    }
}

impl From<AlternateStack> for libc::stack_t {
    fn from(stack: AlternateStack) -> Self {
        Self {
            ss_sp: ptr::with_exposed_provenance_mut(stack.start),
            ss_flags: stack.flags,
            ss_size: stack.length,
        }
    }
}

/// sigaltstack(2): the calling thread's.
///
/// # Errors
/// None that can happen here.
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
/// EPERM while the thread is on its present one.
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
