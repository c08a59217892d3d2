//! The anchor: a process that does next to nothing.
//!
//! Its number is that of the program's process group, and stays taken while any process is in
//! that group. So the program can't lead the group: it may need its own number back. Nor can
//! the supervisor: its group must be another, or the kernel discards Ctrl+Z. The anchor is in
//! the group only while nobody else is, so a signal from the program to its whole group ends
//! nothing that a revert needs.
//!
//! Without namespaces, which end all their processes with them, it also ends the program if
//! launcher and supervisor are killed at once. PR_SET_PDEATHSIG would do that too, but the
//! program can see it.
#![expect(unsafe_code, reason = "forks, and closes descriptors")]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::prctl;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, socketpair,
};
use nix::unistd::{ForkResult, Pid, fork, getpgrp, setpgid};
use snapshot_core::sys::{self, SignalSet};

use crate::processes::child::{Child, send};

/// The supervisor's side.
#[derive(Debug)]
pub(crate) struct Anchor {
    child: Child,
    ward: OwnedFd,
    /// Whether it leads the program's group.
    leads: bool,
}

impl Anchor {
    /// Makes one. If it leads the program's group, it starts in that group.
    ///
    /// # Errors
    /// EAGAIN, EMFILE.
    pub(crate) fn make(leads: bool) -> io::Result<Self> {
        let (ward, guard) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        // SAFETY: the supervisor has one thread, so the child may do what it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                // On failure `ward` closes, and that ends the child.
                let anchor = Self {
                    child: Child::of(child.as_raw())?,
                    ward,
                    leads,
                };
                anchor.join();
                Ok(anchor)
            }
            ForkResult::Child => {
                sys::set_mask(SignalSet::ALL);
                let _ = prctl::set_name(c"snap-anchor");
                stand_guard(guard)
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.pid())
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.child.signal(libc::SIGKILL);
    }

    /// The group that it leads for the program.
    pub(crate) fn group(&self) -> Option<Pid> {
        self.leads.then_some(self.pid())
    }

    /// Joins the group, so that it exists. A parent may move a child that has made no exec.
    pub(crate) fn join(&self) {
        if self.leads {
            let _ = setpgid(self.pid(), self.pid());
        }
    }

    /// Leaves the group to others.
    pub(crate) fn leave(&self) {
        if self.leads {
            let _ = setpgid(self.pid(), getpgrp());
        }
    }

    /// Makes it end this child of ours if the supervisor dies.
    pub(crate) fn guard(&self, child: &Child) {
        let rights = [child.as_fd().as_raw_fd()];
        let _ = sendmsg::<UnixAddr>(
            self.ward.as_raw_fd(),
            &[IoSlice::new(&[1])],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        );
    }
}

/// The anchor's life: it ends when the supervisor does.
fn stand_guard(guard: OwnedFd) -> ! {
    close_all_but(guard.as_raw_fd());
    let mut charge: Option<OwnedFd> = None;
    loop {
        match receive(&guard) {
            Ok(Some(next)) => charge = Some(next),
            Ok(None) => break,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    if let Some(charge) = charge {
        let _ = send(&charge, libc::SIGKILL, std::ptr::null());
    }
    sys::exit_group(0)
}

/// The next process to guard; `None` at the end.
fn receive(guard: &OwnedFd) -> nix::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut room = nix::cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<UnixAddr>(guard.as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = message
            && let Some(&fd) = fds.first()
        {
            // SAFETY: the kernel has just made it for us alone.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(None)
}

/// Closes all but `fd`: this process must not keep the program's pipes open.
fn close_all_but(fd: RawFd) {
    let fd = libc::c_uint::try_from(fd).unwrap_or(0);
    let close = |first, last| {
        // SAFETY: nothing here uses any other descriptor any more.
        unsafe { libc::close_range(first, last, 0) };
    };
    if fd > 0 {
        close(0, fd - 1);
    }
    close(fd + 1, libc::c_uint::MAX);
}
