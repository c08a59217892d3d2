//! The supervisor's ends of the conversations with agents.

#![expect(unsafe_code, reason = "takes ownership of accepted descriptors")]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    getsockopt, listen, recv, send, sendmsg, socket, socketpair, sockopt::PeerCredentials,
};
use snapshot_core::wire::{FromAgent, FromSupervisor, MESSAGE_BYTES};

/// What an agent said.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(FromAgent),
    Nothing,
    /// The agent is gone, or speaks another language.
    Closed,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct AgentLink {
    fd: OwnedFd,
}

impl AgentLink {
    /// A link for a frozen copy: our end, and the one to hand over.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self { fd: ours }, theirs))
    }

    /// Says something. An agent that is gone is noticed when it is next listened to.
    pub(crate) fn say(&self, message: &FromSupervisor) {
        let _ = send(
            self.fd.as_raw_fd(),
            &message.encode(),
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        );
    }

    /// Says something and hands a descriptor over.
    pub(crate) fn hand(&self, message: &FromSupervisor, descriptor: &impl AsRawFd) {
        let packet = message.encode();
        let rights = [descriptor.as_raw_fd()];
        let _ = sendmsg::<UnixAddr>(
            self.fd.as_raw_fd(),
            &[IoSlice::new(&packet)],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        );
    }

    /// The next message that is there.
    pub(crate) fn hear(&self) -> Heard {
        let mut packet = [0; MESSAGE_BYTES];
        let mut read = || recv(self.fd.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT);
        let heard = match read() {
            // It has hung up before it heard all that was said to it. The kernel reports
            // that first, and once; what it said itself is still there.
            Err(Errno::ECONNRESET) => read(),
            heard => heard,
        };
        match heard {
            Ok(MESSAGE_BYTES) => FromAgent::decode(&packet).map_or(Heard::Closed, Heard::Message),
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Ok(_) | Err(_) => Heard::Closed,
        }
    }
}

impl AsFd for AgentLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Where agents call.
#[derive(Debug)]
pub(crate) struct Switchboard {
    fd: OwnedFd,
}

impl Switchboard {
    /// Listens on an abstract address, which vanishes with its listener.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        bind(fd.as_raw_fd(), &UnixAddr::new_abstract(address.as_bytes())?)?;
        listen(&fd, Backlog::new(64)?)?;
        Ok(Self { fd })
    }

    /// The next caller that waits, with its pid.
    pub(crate) fn accept(&self) -> Option<(AgentLink, i32)> {
        loop {
            match accept4(
                self.fd.as_raw_fd(),
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            ) {
                Ok(fd) => {
                    // SAFETY: the kernel has just made this descriptor for us alone.
                    let fd = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
                    let link = AgentLink { fd };
                    if let Ok(peer) = getsockopt(&link, PeerCredentials) {
                        return Some((link, peer.pid()));
                    }
                }
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Switchboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
