//! The channel between the launcher and its supervisor: JSON messages in packets.
//!
//! The end of the channel is a message too: each side learns at once that the other is gone,
//! for whatever reason. The supervisor and its journal speak over such a channel too.
#![expect(unsafe_code, reason = "takes ownership of received descriptors")]

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::talk::{
    control::{Answer, Request},
    doors::Place,
    event::{Event, Trigger},
    unstarted::Unstarted,
};

/// From the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToSupervisor {
    /// Everything is set up: start the program. `door` is the control socket's place, to be
    /// removed if the launcher is killed.
    Begin { door: Option<Place> },
    /// A request; the answer carries the same token.
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
    Signalled {
        signal: i32,
        sender: i32,
        /// Whether a process of the session sent it.
        inside: bool,
        /// When the launcher had it, on CLOCK_MONOTONIC.
        at_ns: u64,
    },
    /// End the session: send the program this signal, then end everything.
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
    /// A message for a person that is no event.
    Note(String),
    /// The answer to `Ask`.
    Answer { token: u64, answer: Answer },
    /// The decision on the typed Ctrl+C: whether the terminal sees it.
    Typed { is_own: bool },
    /// The supervisor got a signal that ends the session: as if the launcher had.
    AskedToEnd { signal: i32 },
    /// Put the program's group, which is the launcher's own, in front of the terminal.
    ComeToFront,
    /// The program's process group by its number outside: put it in front of the terminal if
    /// the launcher's is there.
    Group { outer: i32 },
    /// The program was stopped by job control.
    Stopped { signal: i32 },
    /// The program never ran.
    NotStarted(Unstarted),
    /// Everything is over.
    Finished {
        code: Option<i32>,
        signal: Option<i32>,
    },
}

/// One end of the channel.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
    /// The beginning of a message, until its end comes.
    begun: RefCell<Vec<u8>>,
    /// A descriptor that came with a message, until it is taken.
    passed: RefCell<Option<OwnedFd>>,
}

/// A received message.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing, for now.
    Nothing,
    /// The other side is gone.
    Closed,
}

/// The longest packet. A message may have any length, for example a timeline of thousands of
/// snapshots, but the administrator sets the kernel's limit on a packet (`net.core.wmem_max`).
/// So a long message goes in pieces.
const PIECE: usize = 32 * 1024;

/// How many bytes may wait in the channel while the other side is busy.
const ROOM: usize = 1 << 20;

/// The first byte of a packet: whether the message continues in the next one.
const GOES_ON: u8 = 0;
const ENDS: u8 = 1;

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
            // If the kernel gives less, the sender waits earlier.
            setsockopt(end, sockopt::SndBuf, &ROOM)?;
        }
        let end = |fd| Self {
            fd,
            begun: RefCell::default(),
            passed: RefCell::default(),
        };
        Ok((end(a), end(b)))
    }

    /// Sends one message; waits for room if the other side is slow.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_packets(message, None)
    }

    /// The same with a descriptor.
    pub(crate) fn hand(&self, message: &impl Serialize, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send_packets(message, Some(fd.as_raw_fd()))
    }

    /// The descriptor that came with the last message.
    pub(crate) fn take_passed(&self) -> Option<OwnedFd> {
        self.passed.take()
    }

    fn send_packets(&self, message: &impl Serialize, mut fd: Option<RawFd>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut pieces = bytes.chunks(PIECE).peekable();
        while let Some(piece) = pieces.next() {
            let mark = if pieces.peek().is_some() {
                GOES_ON
            } else {
                ENDS
            };
            self.send_packet(mark, piece, fd.take())?;
        }
        Ok(())
    }

    fn send_packet(&self, mark: u8, piece: &[u8], fd: Option<RawFd>) -> io::Result<()> {
        let mark = [mark];
        let parts = [IoSlice::new(&mark), IoSlice::new(piece)];
        let passed: Vec<RawFd> = fd.into_iter().collect();
        let with = [ControlMessage::ScmRights(&passed)];
        let with = if passed.is_empty() { &[][..] } else { &with };
        loop {
            let own = self.fd.as_raw_fd();
            match sendmsg::<()>(own, &parts, with, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The next message, if there is one.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        let mut begun = self.begun.borrow_mut();
        let mut packet = [0; 1 + PIECE];
        loop {
            let length = match self.receive_packet(&mut packet) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(Received::Closed),
                Ok(length) => length,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
                Err(errno) => return Err(errno.into()),
            };
            begun.extend_from_slice(&packet[1..length]);
            if packet[0] == ENDS {
                let message = std::mem::take(&mut *begun);
                return Ok(Received::Message(serde_json::from_slice(&message)?));
            }
        }
    }
}

impl Channel {
    fn receive_packet(&self, packet: &mut [u8]) -> Result<usize, Errno> {
        let mut parts = [IoSliceMut::new(packet)];
        let mut space = nix::cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for with in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = with {
                for number in numbers {
                    // SAFETY: the kernel has just made it for this process.
                    let fd = unsafe { OwnedFd::from_raw_fd(number) };
                    self.passed.replace(Some(fd));
                }
            }
        }
        Ok(received.bytes)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_may_be_larger_than_any_buffer() {
        let (ours, theirs) = Channel::pair().expect("sockets are to be had");
        let sent: Vec<u32> = (0..1_000_000).collect();
        let expected = sent.clone();
        // It waits for room more than once.
        let sender = std::thread::spawn(move || {
            theirs.send(&sent)?;
            theirs.send(&"next")
        });
        let received = |wanted: usize| loop {
            match ours.receive::<serde_json::Value>() {
                Ok(Received::Message(message)) => return message,
                Ok(Received::Nothing) => std::thread::yield_now(),
                other => panic!("no message {wanted}: {other:?}"),
            }
        };
        assert_eq!(received(1), serde_json::json!(expected));
        assert_eq!(received(2), serde_json::json!("next"));
        let outcome = sender.join().expect("it does not panic");
        outcome.expect("everything is read");
        assert!(matches!(ours.receive::<()>(), Ok(Received::Closed)));
    }
}
