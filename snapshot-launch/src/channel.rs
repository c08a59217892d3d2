//! What the launcher and its supervisor say to each other: one JSON message a packet.
//!
//! The end of the channel is a message too: each side learns at once that the other is
//! gone, however it went.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::{Answer, Request};
use crate::event::{Event, Trigger};

/// From the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToSupervisor {
    /// Everything is set up: start the program.
    Begin,
    /// Somebody wants something; the answer carries the same token.
    Ask {
        token: u64,
        request: Request,
        trigger: Trigger,
        /// When, on CLOCK_MONOTONIC.
        asked_ns: u64,
    },
    /// Ctrl+C was typed in a terminal that the launcher owns.
    Typed {
        /// When, on CLOCK_MONOTONIC.
        at_ns: u64,
    },
    /// A signal was sent to the launcher that is meant for the program.
    Signalled { signal: i32, sender: i32 },
    /// End the session: tell the program by this signal, then end everything.
    End { signal: i32 },
    /// Stop the program, for Ctrl+Z.
    Stop,
    /// Let it go on.
    Continue,
}

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToLauncher {
    /// Something happened.
    Event(Event),
    /// Something that a person should know and that is no event.
    Note(String),
    /// The answer to `Ask`.
    Answer { token: u64, answer: Answer },
    /// What became of the typed Ctrl+C: whether the terminal is to see it.
    Typed { is_own: bool },
    /// The supervisor was sent a signal that ends the session: as if the launcher had
    /// been.
    AskedToEnd { signal: i32 },
    /// The program's group is to be in front of the terminal, which is the launcher's own.
    ComeToFront,
    /// The program was stopped by job control.
    Stopped,
    /// The program never ran.
    NotStarted { errno: i32 },
    /// Everything is over.
    Finished {
        code: Option<i32>,
        signal: Option<i32>,
    },
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
    /// Where messages arrive; kept, since it is large.
    buffer: RefCell<Vec<u8>>,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing, for now.
    Nothing,
    /// The other side is gone.
    Closed,
}

/// The largest message: a timeline of a thousand snapshots fits.
const LARGEST: usize = 1 << 20;

impl Channel {
    /// Both ends.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        for end in [&a, &b] {
            // As much as one message may need; the kernel may give less, and then a
            // larger message is an error that is seen.
            setsockopt(end, sockopt::SndBuf, &LARGEST)?;
        }
        let end = |fd| Self {
            fd,
            buffer: RefCell::new(vec![0; LARGEST]),
        };
        Ok((end(a), end(b)))
    }

    /// Sends one message, waiting for room if the other side lags behind.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        loop {
            match send(self.fd.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The next message that is there.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        let mut bytes = self.buffer.borrow_mut();
        match recv(self.fd.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Received::Closed),
            Ok(length) => Ok(Received::Message(serde_json::from_slice(&bytes[..length])?)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
