//! What this process was started with and the program is to have as well: descriptors, ignored
//! signals, the umask, the terminal of its session.
//!
//! The program gets all of it. Launcher and supervisor then let go of what they don't need:
//! whoever waits outside for the end of a pipe waits for the program alone. And they set for
//! themselves what they can't work with: [`OwnWays`].
#![expect(
    unsafe_code,
    reason = "runs before `main`, ignores signals, closes descriptors by their numbers"
)]

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{dup2_stdin, dup2_stdout};
use snapshot_core::sys::{self, SignalSet};

use crate::processes::family::numbers_in;

/// The signals that this process was started with ignored: bit `n - 1` is signal `n`.
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// Rust ignores SIGPIPE from just before `main` on, so what was inherited is looked at
/// earlier than that.
#[used]
// SAFETY: `.init_array` holds functions that the loader calls with (argc, argv, envp),
// which a C function without parameters may ignore.
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note_ignored;

extern "C" fn note_ignored() {
    let mut ignored = SignalSet(0);
    for signal in 1..=64 {
        // SAFETY: all-zero is a valid `struct sigaction`.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: nothing in, a live structure out. libc's own two signals are refused.
        let answer = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
        if answer == 0 && action.sa_sigaction == libc::SIG_IGN {
            ignored = ignored.with(SignalSet::only(signal));
        }
    }
    IGNORED.store(ignored.0, Ordering::Relaxed);
    // Ignored, it has the kernel reap every child unseen: the supervisor, and the cargo that
    // builds the program.
    // SAFETY: the default action runs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The signals that this process was started with ignored.
pub(crate) fn ignored() -> SignalSet {
    // The address keeps the entry above where the linker finds it.
    std::hint::black_box(NOTE);
    SignalSet(IGNORED.load(Ordering::Relaxed))
}

/// Ignores these signals. Safe between fork and exec.
pub(crate) fn ignore(signals: SignalSet) {
    for signal in (1..=64).filter(|&signal| signals.meets(SignalSet::only(signal))) {
        // SAFETY: sets no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// What launcher and supervisor set for themselves, and how it was: so it is again for the
/// program, and for the caller should the launch fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnWays {
    pub(crate) mask: SignalSet,
    umask: Mode,
    /// The limit on the size of files, soft and hard, where it could be raised.
    file_size: Option<(rlim_t, rlim_t)>,
}

impl OwnWays {
    /// From here on signals wait until somebody reads them: none is lost, and none ends this
    /// process while a file of the session lies about. What is made is for the user alone, who
    /// can use it whatever the umask was. And the agent's file has the size that it needs.
    pub(crate) fn take() -> Self {
        let limit = getrlimit(Resource::RLIMIT_FSIZE).ok();
        let raise = |&(_, hard): &_| setrlimit(Resource::RLIMIT_FSIZE, hard, hard).is_ok();
        Self {
            mask: sys::set_mask(SignalSet::ALL),
            umask: umask(Mode::S_IRWXG | Mode::S_IRWXO),
            file_size: limit.filter(raise),
        }
    }

    /// For the program: all as it was but for the mask. Safe between fork and exec.
    pub(crate) fn put_back_for_program(self) {
        umask(self.umask);
        if let Some((soft, hard)) = self.file_size {
            let _ = setrlimit(Resource::RLIMIT_FSIZE, soft, hard);
        }
    }

    /// For the caller: all as it was.
    pub(crate) fn put_back(self) {
        self.put_back_for_program();
        // A file that was too large has sent it, and the error says so already.
        for disposition in [libc::SIG_IGN, libc::SIG_DFL] {
            // SAFETY: sets no handler; what is pending is forgotten by the first.
            unsafe { libc::signal(libc::SIGXFSZ, disposition) };
        }
        ignore(ignored().and(SignalSet::only(libc::SIGXFSZ)));
        sys::set_mask(self.mask);
    }
}

/// The descriptors beside the standard streams that go to the program: those that are kept
/// across an exec.
///
/// # Errors
/// Where `/proc` can't be read.
pub(crate) fn descriptors() -> io::Result<Vec<RawFd>> {
    let goes_on = |fd: &RawFd| {
        // SAFETY: takes numbers; one that is closed meanwhile is an error.
        let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
        flags >= 0 && flags & libc::FD_CLOEXEC == 0
    };
    let numbers = numbers_in("/proc/self/fd")?.filter(|&fd| fd > 2);
    Ok(numbers.filter(goes_on).collect())
}

/// Closes what has gone to the program.
pub(crate) fn close(descriptors: &[RawFd]) {
    for &fd in descriptors {
        // SAFETY: they are those of whoever has started this process; nothing here uses
        // them.
        unsafe { libc::close(fd) };
    }
}

/// Lets go of input and output, which are the program's alone.
///
/// # Errors
/// Where `/dev/null` can't be opened.
pub(crate) fn let_go_of_streams() -> io::Result<()> {
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok(())
}

/// The controlling terminal, if there is one.
pub(crate) fn terminal() -> Option<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open("/dev/tty", flags, Mode::empty()).ok()
}

/// Whether input or output is a pipe or a socket: then others may belong to the same job.
pub(crate) fn is_in_pipeline() -> bool {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let is_pipe = |stat: Result<libc::stat, Errno>| {
        let kind = stat.map_or(0, |stat| stat.st_mode) & SFlag::S_IFMT.bits();
        kind == SFlag::S_IFIFO.bits() || kind == SFlag::S_IFSOCK.bits()
    };
    is_pipe(fstat(&stdin)) || is_pipe(fstat(&stdout))
}

/// Another number for an open file, out of the way of those that programs use, and not in
/// use: it is the program's, for the moment until its agent is loaded.
///
/// # Errors
/// EMFILE where no number is left.
pub(crate) fn out_of_the_way(file: &OwnedFd, wanted: RawFd) -> io::Result<File> {
    let above = |lowest| fcntl(file, FcntlArg::F_DUPFD_CLOEXEC(lowest));
    let fd = above(wanted).or_else(|_| above(3))?;
    // SAFETY: the kernel has just made it for us alone.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) })
}

/// Keeps a descriptor across the exec. Safe between fork and exec.
///
/// # Errors
/// EBADF.
pub(crate) fn keep_across_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers.
    let done = unsafe { libc::fcntl(fd, libc::F_SETFD, FdFlag::empty().bits()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
