//! A child of the supervisor. Signals to it go through a pidfd.
//!
//! A number comes from the kernel, never from a message, and even then it may belong to another
//! process by now. A child's number can't: it stays taken until the supervisor reaps the child.
//! So the kernel says whether the process is a child, and the pidfd that is opened then stands
//! for that very process for good.
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
    /// The child with this number, which may have ended unreaped.
    ///
    /// # Errors
    /// ECHILD if the process is no child of ours; EMFILE.
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

    /// Sends it a signal. False if it has been reaped, or may not be signalled.
    pub(crate) fn signal(&self, signal: libc::c_int) -> bool {
        send(&self.handle, signal, std::ptr::null()).is_ok()
    }

    /// Gives it the lowest priority for a processor (setpriority(2)). It must not be reaped
    /// yet.
    pub(crate) fn lower_priority(&self) {
        let pid = libc::id_t::try_from(self.pid).unwrap_or(0);
        // SAFETY: takes numbers.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, 19) };
    }

    /// Sends it a signal with this `siginfo`.
    ///
    /// # Errors
    /// As [`send`]; EAGAIN if no more signals can be queued.
    pub(crate) fn queue(&self, info: &SignalInfo) -> nix::Result<()> {
        send(&self.handle, info.signal(), std::ptr::from_ref(info).cast())
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Kills a child that we have no descriptor for: until it is reaped its number is its own.
pub(crate) fn kill_by_number(pid: i32) -> bool {
    // SAFETY: takes numbers.
    is_child(pid) && unsafe { libc::kill(pid, libc::SIGKILL) } == 0
}

/// pidfd_open(2)
///
/// # Errors
/// ESRCH; EMFILE, ENFILE and ENOMEM if they last.
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

/// pidfd_send_signal(2). Without `info` the kernel names the sender.
///
/// # Errors
/// ESRCH if the process has been reaped, EPERM if it has other rights.
pub(crate) fn send(
    handle: &impl AsRawFd,
    signal: libc::c_int,
    info: *const libc::siginfo_t,
) -> nix::Result<()> {
    let handle = handle.as_raw_fd();
    // SAFETY: takes numbers, and reads one siginfo if there is one; the callers here pass a
    // live one of 128 bytes.
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
        // It has ended, but is not reaped, so its number is still its own.
        sleeper.wait().expect("it is ours");
        assert!(!child.signal(0), "nobody else gets its signals");
        for stranger in [pid, 1, 0, -1, i32::MIN, std::process::id().cast_signed()] {
            let error = Child::of(stranger).expect_err("it is no child");
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{stranger}");
        }
    }
}
