//! Every raw system call of the engine, one wrapper each.
//!
//! Context: AS-SAFE. The wrappers don't touch `errno`: they run in signal handlers of a
//! program that may be about to read it.
#![expect(unsafe_code, reason = "this is where the system calls are")]

use core::ffi::{CStr, c_int};
use core::mem::{MaybeUninit, size_of};
use core::ptr;

use crate::arch::{SYS_CLONE3, syscall};

/// A kernel error number. `0` where the failure was not the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a wrapper returns.
pub type Result<T> = core::result::Result<T, Errno>;

fn check(answer: i64) -> Result<usize> {
    usize::try_from(answer).map_err(|_| Errno(i32::try_from(-answer).unwrap_or(libc::EINVAL)))
}

/// The kernel's answers that are ids or descriptors fit an `i32` by its own contract.
fn small(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn arg(value: i32) -> usize {
    // Sign extension is what the C calling convention does.
    value as isize as usize
}

/// A call whose arguments are all plain numbers; it can't harm memory.
fn plain(number: i64, arguments: [usize; 6]) -> Result<usize> {
    // SAFETY: used only below, with calls that take no pointers or a null one.
    check(unsafe { syscall(number, arguments) })
}

/// getpid(2)
pub fn getpid() -> i32 {
    plain(libc::SYS_getpid, [0; 6]).map_or(0, small)
}

/// getppid(2)
pub fn getppid() -> i32 {
    plain(libc::SYS_getppid, [0; 6]).map_or(0, small)
}

/// gettid(2)
pub fn gettid() -> i32 {
    plain(libc::SYS_gettid, [0; 6]).map_or(0, small)
}

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of a session.
pub fn now_ns() -> u64 {
    let mut time = [0_i64; 2];
    // SAFETY: clock_gettime writes one timespec, two longs, which `time` is.
    let _ = unsafe {
        syscall(
            libc::SYS_clock_gettime,
            [
                arg(libc::CLOCK_MONOTONIC),
                time.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        )
    };
    time[0].unsigned_abs() * 1_000_000_000 + time[1].unsigned_abs()
}

/// close(2); an error means the descriptor is gone anyway.
pub fn close(fd: i32) {
    let _ = plain(libc::SYS_close, [arg(fd), 0, 0, 0, 0, 0]);
}

/// exit_group(2)
pub fn exit_group(code: i32) -> ! {
    loop {
        let _ = plain(libc::SYS_exit_group, [arg(code), 0, 0, 0, 0, 0]);
    }
}

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

/// openat(2) for reading, close-on-exec.
///
/// # Errors
/// As the manual page says.
pub(crate) fn open_to_read(path: &CStr, extra_flags: i32) -> Result<i32> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | extra_flags;
    // SAFETY: openat reads a NUL-terminated string, which a CStr is.
    check(unsafe {
        syscall(
            libc::SYS_openat,
            [
                arg(libc::AT_FDCWD),
                path.as_ptr().expose_provenance(),
                arg(flags),
                0,
                0,
                0,
            ],
        )
    })
    .map(small)
}

/// getdents64(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn getdents(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: getdents64 writes at most the length given, which is the buffer's.
    check(unsafe {
        syscall(
            libc::SYS_getdents64,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
                0,
                0,
                0,
            ],
        )
    })
}

/// process_vm_readv(2) on the calling process: a read that fails with EFAULT where a
/// plain one would be a crash.
///
/// # Errors
/// EFAULT where the range is not readable; ENOSYS, EPERM where the call is not to be had.
pub(crate) fn read_own_memory(address: usize, into: &mut [u8]) -> Result<()> {
    let local = [into.as_mut_ptr().expose_provenance(), into.len()];
    let remote = [address, into.len()];
    // SAFETY: the local vector names `into` alone; the remote one is only read.
    let read = check(unsafe {
        syscall(
            libc::SYS_process_vm_readv,
            [
                arg(getpid()),
                local.as_ptr().expose_provenance(),
                1,
                remote.as_ptr().expose_provenance(),
                1,
                0,
            ],
        )
    })?;
    if read == into.len() {
        Ok(())
    } else {
        Err(Errno(libc::EFAULT))
    }
}

/// lseek(2)
///
/// # Errors
/// ESPIPE where the descriptor has no offset.
pub(crate) fn lseek(fd: i32, offset: i64, whence: i32) -> Result<i64> {
    plain(
        libc::SYS_lseek,
        [
            arg(fd),
            usize::from_ne_bytes(offset.to_ne_bytes()),
            arg(whence),
            0,
            0,
            0,
        ],
    )
    .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The mode and the identity of the file behind a descriptor.
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// fstat(2)
///
/// # Errors
/// EBADF and kin.
pub(crate) fn fstat(fd: i32) -> Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat writes one `struct stat`, which the slot has room for.
    check(unsafe {
        syscall(
            libc::SYS_fstat,
            [arg(fd), stat.as_mut_ptr().expose_provenance(), 0, 0, 0, 0],
        )
    })?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    let stat = unsafe { stat.assume_init() };
    Ok(Stat {
        mode: stat.st_mode,
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

/// fcntl(F_GETFL)
///
/// # Errors
/// EBADF.
pub(crate) fn status_flags(fd: i32) -> Result<i32> {
    plain(libc::SYS_fcntl, [arg(fd), arg(libc::F_GETFL), 0, 0, 0, 0]).map(small)
}

/// fcntl(F_DUPFD_CLOEXEC) to `lowest` or above.
///
/// # Errors
/// EINVAL, EMFILE where the limit is lower.
pub(crate) fn duplicate_above(fd: i32, lowest: i32) -> Result<i32> {
    plain(
        libc::SYS_fcntl,
        [arg(fd), arg(libc::F_DUPFD_CLOEXEC), arg(lowest), 0, 0, 0],
    )
    .map(small)
}

/// fcntl(F_SETFD): clears close-on-exec, so that the descriptor crosses an exec.
///
/// # Errors
/// EBADF.
pub fn keep_across_exec(fd: i32) -> Result<()> {
    plain(libc::SYS_fcntl, [arg(fd), arg(libc::F_SETFD), 0, 0, 0, 0]).map(drop)
}

/// A set of signals as the kernel has it: bit `n - 1` is signal `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal. The kernel leaves KILL and STOP out by itself.
    pub const ALL: Self = Self(u64::MAX);

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

/// poll(2) on one or two descriptors for reading; gives which are ready.
///
/// # Errors
/// EINTR when a signal came first.
pub(crate) fn poll_readable(fds: [i32; 2], timeout_ms: i32) -> Result<[bool; 2]> {
    let mut poll = fds.map(|fd| libc::pollfd {
        fd, // a negative one is ignored by the kernel
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: poll reads and writes the two entries that are passed.
    check(unsafe {
        syscall(
            libc::SYS_poll,
            [
                poll.as_mut_ptr().expose_provenance(),
                2,
                arg(timeout_ms),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(poll.map(|entry| entry.revents != 0))
}

/// A connected SOCK_SEQPACKET socket to an abstract name, close-on-exec.
///
/// # Errors
/// ECONNREFUSED where nobody listens; EMFILE where the program has no descriptor left.
pub(crate) fn connect_abstract(name: &[u8]) -> Result<i32> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    let fd = small(plain(
        libc::SYS_socket,
        [arg(libc::AF_UNIX), arg(kind), 0, 0, 0, 0],
    )?);
    // A family of two bytes, a NUL, and the name: the abstract form of sockaddr_un.
    let mut address = [0_u8; 110];
    address[..2].copy_from_slice(&libc::AF_UNIX.to_le_bytes()[..2]);
    let length = name.len().min(address.len() - 3);
    address[3..3 + length].copy_from_slice(&name[..length]);
    // SAFETY: connect reads as many bytes of the address as it is told, all of them set.
    let answer = check(unsafe {
        syscall(
            libc::SYS_connect,
            [
                arg(fd),
                address.as_ptr().expose_provenance(),
                3 + length,
                0,
                0,
                0,
            ],
        )
    });
    match answer {
        Ok(_) => Ok(fd),
        Err(errno) => {
            close(fd);
            Err(errno)
        }
    }
}

/// send(2) of a whole packet. Never raises SIGPIPE.
///
/// # Errors
/// EPIPE, ECONNRESET when the other side is gone.
pub(crate) fn send(fd: i32, bytes: &[u8]) -> Result<()> {
    loop {
        // SAFETY: sendto reads the bytes given, and no address.
        let answer = check(unsafe {
            syscall(
                libc::SYS_sendto,
                [
                    arg(fd),
                    bytes.as_ptr().expose_provenance(),
                    bytes.len(),
                    arg(libc::MSG_NOSIGNAL),
                    0,
                    0,
                ],
            )
        });
        match answer {
            Ok(_) => return Ok(()),
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// recvmsg(2) of one packet and the descriptor that may come with it.
///
/// # Errors
/// EINTR included: the caller decides whether to wait on.
pub(crate) fn receive(fd: i32, bytes: &mut [u8]) -> Result<(usize, Option<i32>)> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // Room for one header and one descriptor: CMSG_SPACE(sizeof(int)) on 64 bits.
    let mut control = [0_u64; 3];
    let mut message = libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut vector,
        msg_iovlen: 1,
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: size_of::<[u64; 3]>(),
        msg_flags: 0,
    };
    // SAFETY: the message names live buffers with their true lengths.
    let read = check(unsafe {
        syscall(
            libc::SYS_recvmsg,
            [
                arg(fd),
                (&raw mut message).expose_provenance(),
                arg(libc::MSG_CMSG_CLOEXEC),
                0,
                0,
                0,
            ],
        )
    })?;
    // A header is a length of 8 bytes, a level and a type of 4 bytes each.
    let rights = message.msg_controllen >= 20
        && control[0] >= 20
        && control[1]
            == u64::from(libc::SCM_RIGHTS as u32) << 32 | u64::from(libc::SOL_SOCKET as u32);
    let passed = rights.then(|| {
        let [a, b, c, d, ..] = control[2].to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    });
    Ok((read, passed))
}

/// A write(2) of bytes for a person, best effort.
pub fn write(fd: i32, bytes: &[u8]) {
    // SAFETY: write reads the bytes given.
    let _ = unsafe {
        syscall(
            libc::SYS_write,
            [
                arg(fd),
                bytes.as_ptr().expose_provenance(),
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    };
}

/// `struct clone_args` of the first version, 64 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CloneArguments {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The caller, with the copy's pid.
    Original(i32),
    /// The copy.
    Copy,
}

/// clone3(2) as a fork: a new process on a copy of all memory, this stack included.
/// Unlike libc's `fork` it takes no locks and runs no handlers.
///
/// # Safety
/// The copy has the calling thread alone: it must do nothing that waits for another
/// thread, and must not return into code that believes there are others.
///
/// # Errors
/// EAGAIN, ENOMEM and kin; ENOSYS where a filter hides the call.
#[inline(always)]
pub(crate) unsafe fn fork(flags: i32, exit_signal: i32) -> Result<Side> {
    let arguments = CloneArguments {
        flags: u64::from(flags.unsigned_abs()),
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        ..CloneArguments::default()
    };
    // SAFETY: the arguments are of the size given, and name no stack, so that both sides
    // go on here, each in memory of its own.
    let pid = check(unsafe {
        syscall(
            SYS_CLONE3,
            [
                (&raw const arguments).expose_provenance(),
                size_of::<CloneArguments>(),
                0,
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(if pid == 0 {
        Side::Copy
    } else {
        Side::Original(small(pid))
    })
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildState {
    /// CLD_EXITED, CLD_KILLED, CLD_DUMPED, CLD_STOPPED, CLD_CONTINUED.
    pub(crate) code: i32,
    /// The exit code or the signal.
    pub(crate) status: i32,
}

/// waitid(2) for one child, whatever signal it ends with.
///
/// # Errors
/// EINTR; ECHILD where it is no child.
pub(crate) fn wait_for_child(pid: i32, options: i32) -> Result<ChildState> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: waitid writes one siginfo, which the slot has room for.
    check(unsafe {
        syscall(
            libc::SYS_waitid,
            [
                libc::P_PID as usize,
                arg(pid),
                info.as_mut_ptr().expose_provenance(),
                arg(options | libc::__WALL),
                0,
                0,
            ],
        )
    })?;
    // SAFETY: all-zero is a valid siginfo, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills in the SIGCHLD member of the union.
    let status = unsafe { info.si_status() };
    Ok(ChildState {
        code: info.si_code,
        status,
    })
}

/// waitid(2) on any child that has ended, without reaping it. Children that end without
/// a SIGCHLD are not counted.
pub(crate) fn has_ended_child() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid writes one siginfo, which the slot has room for.
    let answer = check(unsafe {
        syscall(
            libc::SYS_waitid,
            [
                libc::P_ALL as usize,
                0,
                info.as_mut_ptr().expose_provenance(),
                arg(options),
                0,
                0,
            ],
        )
    });
    // SAFETY: all-zero is a valid siginfo, and the kernel may have filled it in.
    answer.is_ok() && unsafe { info.assume_init() }.si_signo == libc::SIGCHLD
}

fn prctl(option: c_int, argument: usize) -> Result<usize> {
    // SAFETY: every use below passes what the option expects; see there.
    check(unsafe { syscall(libc::SYS_prctl, [arg(option), argument, 0, 0, 0, 0]) })
}

/// prctl(PR_SET_PDEATHSIG): the signal this process gets when its parent dies; 0 for none.
pub fn set_parent_death_signal(signal: i32) {
    let _ = prctl(libc::PR_SET_PDEATHSIG, arg(signal));
}

/// prctl(PR_GET_PDEATHSIG)
pub(crate) fn parent_death_signal() -> i32 {
    let mut signal = 0_i32;
    // The option writes one int there.
    let _ = prctl(
        libc::PR_GET_PDEATHSIG,
        (&raw mut signal).expose_provenance(),
    );
    signal
}

/// A thread's name as the kernel keeps it: 15 bytes and a NUL.
pub(crate) type ThreadName = [u8; 16];

/// prctl(PR_GET_NAME)
pub(crate) fn thread_name() -> ThreadName {
    let mut name = [0; 16];
    // The option writes 16 bytes at most.
    let _ = prctl(libc::PR_GET_NAME, name.as_mut_ptr().expose_provenance());
    name
}

/// prctl(PR_SET_NAME). The last byte counts as a NUL whatever it is.
pub(crate) fn set_thread_name(mut name: ThreadName) {
    name[15] = 0;
    // The option reads up to 16 bytes, and stops at a NUL, which is there.
    let _ = prctl(libc::PR_SET_NAME, name.as_ptr().expose_provenance());
}

/// prctl(PR_GET_TID_ADDRESS): where the kernel clears the tid when this thread ends.
///
/// # Errors
/// EINVAL on a kernel without checkpoint support.
pub(crate) fn tid_address() -> Result<usize> {
    let mut address = 0_usize;
    // The option writes one pointer there.
    prctl(
        libc::PR_GET_TID_ADDRESS,
        (&raw mut address).expose_provenance(),
    )?;
    Ok(address)
}

/// set_tid_address(2)
///
/// # Safety
/// `address` must be zero or stay writable for an `int` until this thread ends.
pub(crate) unsafe fn set_tid_address(address: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe { syscall(libc::SYS_set_tid_address, [address, 0, 0, 0, 0, 0]) };
}

/// get_robust_list(2) of the calling thread: head and length.
///
/// # Errors
/// ENOSYS where a filter hides it.
pub(crate) fn robust_list() -> Result<(usize, usize)> {
    let mut head = 0_usize;
    let mut length = 0_usize;
    // SAFETY: the call writes one pointer and one size, both locals.
    check(unsafe {
        syscall(
            libc::SYS_get_robust_list,
            [
                0,
                (&raw mut head).expose_provenance(),
                (&raw mut length).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok((head, length))
}

/// set_robust_list(2)
///
/// # Safety
/// `head` must be this thread's own list, as the thread library made it.
pub(crate) unsafe fn set_robust_list(head: usize, length: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe { syscall(libc::SYS_set_robust_list, [head, length, 0, 0, 0, 0]) };
}

/// An interval timer: interval and time left, each in seconds and microseconds.
pub(crate) type IntervalTimer = [i64; 4];

/// getitimer(2)
///
/// # Errors
/// None that a valid `which` can cause.
pub(crate) fn interval_timer(which: i32) -> Result<IntervalTimer> {
    let mut timer = [0; 4];
    // SAFETY: getitimer writes two timevals, four longs, which `timer` is.
    check(unsafe {
        syscall(
            libc::SYS_getitimer,
            [
                arg(which),
                timer.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(timer)
}

/// setitimer(2)
///
/// # Errors
/// None that a valid `which` can cause.
pub(crate) fn set_interval_timer(which: i32, timer: &IntervalTimer) -> Result<()> {
    // SAFETY: setitimer reads two timevals, four longs, which `timer` is.
    check(unsafe {
        syscall(
            libc::SYS_setitimer,
            [arg(which), timer.as_ptr().expose_provenance(), 0, 0, 0, 0],
        )
    })
    .map(drop)
}

/// Anonymous memory for the engine's own records, `None` when there is none left.
/// Shared memory stays one across forks; private memory is copied.
pub(crate) fn map_memory(length: usize, shared: bool) -> Option<ptr::NonNull<u8>> {
    let sharing = if shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    // SAFETY: a new anonymous mapping touches no memory in use.
    let address = check(unsafe {
        syscall(
            libc::SYS_mmap,
            [
                0,
                length,
                arg(libc::PROT_READ | libc::PROT_WRITE),
                arg(sharing | libc::MAP_ANONYMOUS),
                arg(-1),
                0,
            ],
        )
    })
    .ok()?;
    ptr::NonNull::new(ptr::with_exposed_provenance_mut(address))
}

/// munmap(2)
///
/// # Safety
/// Nothing may use the range any more.
pub(crate) unsafe fn unmap_memory(start: ptr::NonNull<u8>, length: usize) {
    // SAFETY: the caller's promise is the call's only condition.
    let _ = unsafe {
        syscall(
            libc::SYS_munmap,
            [start.as_ptr().expose_provenance(), length, 0, 0, 0, 0],
        )
    };
}

/// The kernel's `struct termios`, which is not libc's.
pub(crate) type Terminal = [u8; 44];

/// ioctl(TCGETS)
///
/// # Errors
/// ENOTTY where the descriptor is no terminal.
pub(crate) fn terminal(fd: i32) -> Result<Terminal> {
    let mut settings = [0_u8; 44];
    // SAFETY: TCGETS writes the kernel's termios, 36 bytes.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TCGETS).unwrap_or(0),
                settings.as_mut_ptr().expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(settings)
}

/// ioctl(TCSETS)
///
/// # Errors
/// EIO, ENOTTY.
pub(crate) fn set_terminal(fd: i32, settings: &Terminal) -> Result<()> {
    // SAFETY: TCSETS reads the kernel's termios, 36 bytes.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TCSETS).unwrap_or(0),
                settings.as_ptr().expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })
    .map(drop)
}

/// ioctl(TIOCGPGRP): the foreground process group.
///
/// # Errors
/// ENOTTY where the descriptor is not the controlling terminal.
pub(crate) fn foreground_group(fd: i32) -> Result<i32> {
    let mut group = 0_i32;
    // SAFETY: the request writes one pid.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TIOCGPGRP).unwrap_or(0),
                (&raw mut group).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(group)
}

/// ioctl(TIOCSPGRP). The caller must have SIGTTOU blocked.
///
/// # Errors
/// ENOTTY, EPERM.
pub(crate) fn set_foreground_group(fd: i32, group: i32) -> Result<()> {
    // SAFETY: the request reads one pid.
    check(unsafe {
        syscall(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::TIOCSPGRP).unwrap_or(0),
                (&raw const group).expose_provenance(),
                0,
                0,
                0,
            ],
        )
    })
    .map(drop)
}

/// pidfd_open(2)
///
/// # Errors
/// ESRCH, EMFILE.
pub(crate) fn pidfd_open(pid: i32) -> Result<i32> {
    plain(libc::SYS_pidfd_open, [arg(pid), 0, 0, 0, 0, 0]).map(small)
}
