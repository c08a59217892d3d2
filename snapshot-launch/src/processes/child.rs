//! A child of the supervisor's, which it signals by a pidfd.
//!
//! A number comes from the kernel, never from a message, and even then it may be another
//! process's by now. A child's can't: it stays taken until the supervisor reaps the child.
//! So the kernel is asked whether the process is a child, and the pidfd that is opened then
//! stands for that very process for good.
//!
//! It runs in the supervisor, which has one thread and reaps in one place
//! ([`crate::supervisor::reaping`]).
#![expect(unsafe_code, reason = "opens processes and signals them")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use snapshot_core::sys::SignalInfo;

use crate::processes::ends::is_child;
use crate::shortage::patiently;

/// One child, reaped or not.
#[derive(Debug)]
pub(crate) struct Child {
    pid: i32,
    handle: OwnedFd,
}

impl Child {
    /// The child of this number, which may have ended and wait to be reaped.
    ///
    /// # Errors
    /// ECHILD where the process is no child of ours; EMFILE.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        if !is_child(pid) {
            return Err(Errno::ECHILD.into());
        }
        let handle = open(pid)?;
        Ok(Self { pid, handle })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal. False where it has been reaped, or may not be signalled.
    pub(crate) fn signal(&self, signal: libc::c_int) -> bool {
        send(&self.handle, signal, std::ptr::null()).is_ok()
    }

    /// Puts it behind all others in their turn for a processor (setpriority(2)). It has not
    /// been reaped.
    pub(crate) fn lower_priority(&self) {
        let pid = libc::id_t::try_from(self.pid).unwrap_or(0);
        // SAFETY: takes numbers.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, 19) };
    }

    /// Sends it a signal with what its receiver is to be told.
    ///
    /// # Errors
    /// As [`send`]; EAGAIN where no more signals can be queued.
    pub(crate) fn queue(&self, info: &SignalInfo) -> nix::Result<()> {
        send(&self.handle, info.signal(), std::ptr::from_ref(info).cast())
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Ends a child that there is no descriptor for: until it is reaped its number is its own.
pub(crate) fn kill_by_number(pid: i32) -> bool {
    // SAFETY: takes numbers.
    is_child(pid) && unsafe { libc::kill(pid, libc::SIGKILL) } == 0
}

/// pidfd_open(2)
///
/// # Errors
/// ESRCH; EMFILE, ENFILE and ENOMEM where that lasts.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    let opened = patiently(|| {
        // SAFETY: takes numbers, and gives a descriptor or fails.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        Ok(Errno::result(opened)?)
    })?;
    let opened = RawFd::try_from(opened).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// pidfd_send_signal(2). Without `info` the kernel tells who has sent it.
///
/// # Errors
/// ESRCH where the process has been reaped, EPERM where it has other rights.
pub(crate) fn send(
    handle: &impl AsRawFd,
    signal: libc::c_int,
    info: *const libc::siginfo_t,
) -> nix::Result<()> {
    let handle = handle.as_raw_fd();
    // SAFETY: takes numbers, and reads one siginfo where there is one, by the callers here
    // a live one of 128 bytes.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, signal, info, 0) };
    Errno::result(sent).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_a_child_is_one_and_only_until_it_is_reaped() {
        let mut sleeper = Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("it is there");
        let pid = i32::try_from(sleeper.id()).expect("a process id fits");
        let child = Child::of(pid).expect("it is ours");
        assert!(child.signal(libc::SIGKILL));
        // Ended and not reaped, its number is still its own.
        sleeper.wait().expect("it is ours");
        assert!(!child.signal(0), "nobody else gets its signals");
        for stranger in [pid, 1, 0, -1, i32::MIN, std::process::id().cast_signed()] {
            let error = Child::of(stranger).expect_err("it is no child");
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{stranger}");
        }
    }
}
