//! What this process was started with and the program is to have as well: descriptors, what
//! happens on a broken pipe, the terminal of its session.
//!
//! The program gets all of it. Launcher and supervisor then let go of what they don't need:
//! whoever waits outside for the end of a pipe waits for the program alone.
#![expect(
    unsafe_code,
    reason = "runs before `main`, and closes descriptors by their numbers"
)]

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{dup2_stdin, dup2_stdout};

use crate::supervisor::numbers_in;

static BROKEN_PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// Rust ignores SIGPIPE from just before `main` on, so what was inherited is looked at
/// earlier than that.
#[used]
// SAFETY: `.init_array` holds functions that the loader calls with (argc, argv, envp),
// which a C function without parameters may ignore.
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note_broken_pipe;

extern "C" fn note_broken_pipe() {
    // SAFETY: all-zero is a valid `struct sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing in, a live structure out.
    let answer = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action) };
    let is_ignored = answer == 0 && action.sa_sigaction == libc::SIG_IGN;
    BROKEN_PIPE_IGNORED.store(is_ignored, Ordering::Relaxed);
}

/// Whether this process was started with SIGPIPE ignored.
pub(crate) fn ignores_broken_pipe() -> bool {
    // The address keeps the entry above where the linker finds it.
    std::hint::black_box(NOTE);
    BROKEN_PIPE_IGNORED.load(Ordering::Relaxed)
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
