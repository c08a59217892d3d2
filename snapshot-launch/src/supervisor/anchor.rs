//! The anchor: a process that does next to nothing.
//!
//! It has the number of the program's process group, which stays taken as long as any
//! process has it: so neither the program, which may want its own number back, nor the
//! supervisor, whose group must not be the program's or Ctrl+Z would be discarded, can lead
//! that group. And it is not *in* the group, but for the moments in which nobody else is:
//! what the program sends to all of its group ends nothing that a revert needs.
//!
//! Where there are no namespaces, whose end is the end of all that is in them, it also ends
//! the program should launcher and supervisor be killed at once. The kernel could do that by
//! itself (PR_SET_PDEATHSIG), but shows it to the program.
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
    /// Whether the program is in its group.
    leads: bool,
}

impl Anchor {
    /// Makes one; where it is to lead the program's group it is in it to begin with.
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
                // Without one it ends as `ward` does.
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

    /// The group is there, whoever else is in it. It is a child that has made no exec, so
    /// its parent may.
    pub(crate) fn join(&self) {
        if self.leads {
            let _ = setpgid(self.pid(), self.pid());
        }
    }

    /// Others are in the group now.
    pub(crate) fn leave(&self) {
        if self.leads {
            let _ = setpgid(self.pid(), getpgrp());
        }
    }

    /// Has it end this child of ours, should the supervisor be gone.
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

/// Whoever waits for the end of a pipe of the program's must not wait for this process.
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
