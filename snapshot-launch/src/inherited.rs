//! What this process inherits and the program gets as well: descriptors, ignored signals, the
//! umask, the terminal of its session.
//!
//! The program gets all of it. Launcher and supervisor then close what they don't need, so that
//! a reader outside sees the end of a pipe when the program ends. And they set for themselves
//! what they need otherwise: [`OwnWays`].
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

use crate::processes::files::numbers_in;

/// The signals that this process inherited as ignored: bit `n - 1` is signal `n`.
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// Rust ignores SIGPIPE just before `main`, so this runs earlier, to see what was inherited.
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
    // If SIGCHLD is ignored the kernel reaps all children unseen: the supervisor, and the cargo
    // that builds the program. SAFETY: the default action runs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The signals that this process inherited as ignored.
pub(crate) fn ignored() -> SignalSet {
    // This use keeps the linker from dropping the entry above.
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

/// What launcher and supervisor change for themselves, with the former values: the program gets
/// those, and so does the caller if the launch fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnWays {
    pub(crate) mask: SignalSet,
    umask: Mode,
    /// The soft and hard limit on file sizes, if they could be raised.
    file_size: Option<(rlim_t, rlim_t)>,
}

impl OwnWays {
    /// Blocks signals until they are read: none is lost, and none ends this process while files
    /// of the session exist. Sets the umask for files that the user alone can access, and
    /// raises the file size limit for the agent's file.
    pub(crate) fn take() -> Self {
        let limit = getrlimit(Resource::RLIMIT_FSIZE).ok();
        let raise = |&(_, hard): &_| setrlimit(Resource::RLIMIT_FSIZE, hard, hard).is_ok();
        Self {
            mask: sys::set_mask(SignalSet::ALL),
            umask: umask(Mode::S_IRWXG | Mode::S_IRWXO),
            file_size: limit.filter(raise),
        }
    }

    /// For the program: restores all but the signal mask. Safe between fork and exec.
    pub(crate) fn put_back_for_program(self) {
        umask(self.umask);
        if let Some((soft, hard)) = self.file_size {
            let _ = setrlimit(Resource::RLIMIT_FSIZE, soft, hard);
        }
    }

    /// For the caller: restores everything.
    pub(crate) fn put_back(self) {
        self.put_back_for_program();
        // A file that was too large has raised it, and the error says so already.
        for disposition in [libc::SIG_IGN, libc::SIG_DFL] {
            // SAFETY: sets no handler; what is pending is forgotten by the first.
            unsafe { libc::signal(libc::SIGXFSZ, disposition) };
        }
        ignore(ignored().and(SignalSet::only(libc::SIGXFSZ)));
        sys::set_mask(self.mask);
    }
}

/// The descriptors beside the standard streams that go to the program: those without
/// close-on-exec.
///
/// # Errors
/// If `/proc` can't be read.
pub(crate) fn descriptors() -> io::Result<Vec<RawFd>> {
    let goes_on = |fd: &RawFd| {
        // SAFETY: takes numbers; one that is closed meanwhile is an error.
        let flags = unsafe { libc::fcntl(*fd, libc::F_GETFD) };
        flags >= 0 && flags & libc::FD_CLOEXEC == 0
    };
    let numbers = numbers_in("/proc/self/fd")?.filter(|&fd| fd > 2);
    Ok(numbers.filter(goes_on).collect())
}

/// Closes descriptors that the program has now.
pub(crate) fn close(descriptors: &[RawFd]) {
    for &fd in descriptors {
        // SAFETY: they belong to the caller of this process; nothing here uses them.
        unsafe { libc::close(fd) };
    }
}

/// Replaces standard input and output by `/dev/null`: they are the program's alone.
///
/// # Errors
/// If `/dev/null` can't be opened.
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

/// Whether input or output is a pipe or a socket: then the job may have other processes.
pub(crate) fn is_in_pipeline() -> bool {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let is_pipe = |stat: Result<libc::stat, Errno>| {
        let kind = stat.map_or(0, |stat| stat.st_mode) & SFlag::S_IFMT.bits();
        kind == SFlag::S_IFIFO.bits() || kind == SFlag::S_IFSOCK.bits()
    };
    is_pipe(fstat(&stdin)) || is_pipe(fstat(&stdout))
}

/// Duplicates an open file to an unused number that programs rarely use: the program has it
/// until its agent is loaded.
///
/// # Errors
/// EMFILE if no number is left.
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
