//! The supervisor's ends of the conversations with agents.
//!
//! A conversation is with one process. The kernel writes the sender's number into each packet
//! (SCM_CREDENTIALS), so the supervisor notices any other process that holds the agent's end.
//! It believes no process number inside a packet.
//!
//! A link belongs to one of the conversations of [`snapshot_core::wire`]. Messages of another
//! conversation are out of turn.

#![expect(unsafe_code, reason = "takes ownership of accepted descriptors")]

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, UnixCredentials, accept4, bind, getsockopt, listen, recvmsg, send, sendmsg,
    setsockopt, socket, socketpair,
    sockopt::{PassCred, PeerCredentials},
};
use snapshot_core::wire::{
    Caller, Conversation, Frozen, MESSAGE_BYTES, Message, Taker, WithKeeper, is_out_of_turn,
};

/// How many messages to read at once to hear all that has been said. Fewer fit into a socket;
/// the limit stops an agent that never stops talking.
pub(crate) const MOST_AT_ONCE: usize = 1024;

/// What an agent said.
#[derive(Debug)]
pub(crate) enum Heard<M> {
    /// From the process that the conversation is with.
    Message(M),
    /// From another process, with this number: believed only where a new process is expected to
    /// speak.
    Other(M, i32),
    /// A message of another conversation.
    OutOfTurn {
        /// The number of the process that says it, if it is another one.
        other: Option<i32>,
    },
    Nothing,
    /// The agent is gone, or sent garbage.
    Closed,
}

/// One conversation.
#[derive(Debug)]
pub(crate) struct AgentLink<C> {
    fd: OwnedFd,
    /// Which process it is with, once one has spoken.
    speaker: Cell<Option<i32>>,
    is_given_up: Cell<bool>,
    /// The descriptor that came with the last message.
    passed: RefCell<Option<OwnedFd>>,
    conversation: PhantomData<C>,
}

/// What was said last, all read at once.
#[derive(Debug)]
pub(crate) struct LastWords<M> {
    /// A keeper's number, if one has spoken.
    pub(crate) keeper: Option<i32>,
    /// A message of the conversation's process with a descriptor.
    pub(crate) passed: Option<(M, OwnedFd)>,
    /// Nothing more will come.
    pub(crate) is_over: bool,
}

impl AgentLink<Caller> {
    /// The call has asked for a take and becomes one.
    pub(crate) fn into_take(self) -> AgentLink<Taker> {
        AgentLink {
            fd: self.fd,
            speaker: self.speaker,
            is_given_up: self.is_given_up,
            passed: RefCell::new(None),
            conversation: PhantomData,
        }
    }
}

impl AgentLink<Frozen> {
    /// A link for a frozen copy: our end, and the one to hand over.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        Self::pair_of()
    }
}

impl<C: Conversation> AgentLink<C> {
    fn with(fd: OwnedFd, speaker: Option<i32>) -> io::Result<Self> {
        setsockopt(&fd, PassCred, &true)?;
        Ok(Self {
            fd,
            speaker: Cell::new(speaker),
            is_given_up: Cell::new(false),
            passed: RefCell::new(None),
            conversation: PhantomData,
        })
    }

    /// Our end, and the agent's.
    pub(crate) fn pair_of() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self::with(ours, None)?, theirs))
    }

    /// From now on it is with this process.
    pub(crate) fn bind_to(&self, speaker: i32) {
        self.speaker.set(Some(speaker));
    }

    /// Stops listening: a wait on a closed link would return at once, forever.
    pub(crate) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.is_given_up.get()
    }

    /// Says something. If the agent is gone, the next `hear` notices.
    pub(crate) fn say(&self, message: &C::ToAgent) {
        let _ = send(
            self.fd.as_raw_fd(),
            &message.encode(),
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        );
    }

    /// Says something and hands a descriptor over.
    pub(crate) fn hand(&self, message: &C::ToAgent, descriptor: &impl AsRawFd) {
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

    /// The descriptor that came with the message heard last.
    pub(crate) fn take_passed(&self) -> Option<OwnedFd> {
        self.passed.take()
    }

    /// The next message that is there.
    pub(crate) fn hear(&self) -> Heard<C::FromAgent> {
        let mut packet = [0; MESSAGE_BYTES];
        self.passed.take();
        let heard = match receive(&self.fd, &mut packet) {
            // It hung up before it read everything. The kernel reports that first, and once;
            // its own messages are still there.
            Err(Errno::ECONNRESET) => receive(&self.fd, &mut packet),
            heard => heard,
        };
        match heard {
            Ok((MESSAGE_BYTES, Some(sender), passed)) => {
                let other = Some(sender).filter(|_| self.speaker.get() != Some(sender));
                let said = C::FromAgent::decode(&packet);
                let brings = said.as_ref().is_some_and(C::brings_descriptor);
                if brings != passed.is_some() {
                    return Heard::Closed;
                }
                self.passed.replace(passed);
                match (said, other) {
                    (Some(message), None) => Heard::Message(message),
                    (Some(message), Some(sender)) => Heard::Other(message, sender),
                    (None, other) if is_out_of_turn::<C>(&packet) => Heard::OutOfTurn { other },
                    (None, _) => Heard::Closed,
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Ok(_) | Err(_) => Heard::Closed,
        }
    }
}

impl<C: WithKeeper> AgentLink<C> {
    /// Reads all that has been said by now, for a keeper and a descriptor alone.
    pub(crate) fn hear_last_words(&self) -> LastWords<C::FromAgent> {
        let mut words = LastWords {
            keeper: None,
            passed: None,
            is_over: false,
        };
        for _ in 0..MOST_AT_ONCE {
            match self.hear() {
                Heard::Other(said, sender) if said == C::KEEPER => {
                    words.keeper = words.keeper.or(Some(sender));
                }
                Heard::Message(said) => {
                    if let Some(descriptor) = self.take_passed() {
                        words.passed = Some((said, descriptor));
                    }
                }
                Heard::Other(..) | Heard::OutOfTurn { .. } => {}
                Heard::Nothing => return words,
                Heard::Closed => {
                    words.is_over = true;
                    return words;
                }
            }
        }
        words
    }
}

/// Whether a frozen copy can have read this signal: two reach no `signalfd`.
pub(crate) fn may_be_passed(signal: i32) -> bool {
    (1..=64).contains(&signal) && !matches!(signal, libc::SIGKILL | libc::SIGSTOP)
}

/// The next packet's length, the process that has sent it, and the descriptor that comes with
/// it. There is no room for more than one.
fn receive(fd: &OwnedFd, packet: &mut [u8]) -> nix::Result<(usize, Option<i32>, Option<OwnedFd>)> {
    let mut parts = [IoSliceMut::new(packet)];
    let mut room = nix::cmsg_space!(UnixCredentials, [RawFd; 1]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(fd.as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    let (mut sender, mut passed, mut is_too_much) = (None, None, false);
    // The kernel has cut the list short; what fitted is still ours to close.
    let is_cut = received.flags.contains(MsgFlags::MSG_CTRUNC);
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials.pid()),
            ControlMessageOwned::ScmRights(descriptors) => {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made this descriptor for us alone.
                    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
                    is_too_much |= passed.replace(descriptor).is_some();
                }
            }
            _ => {}
        }
    }
    if is_cut || is_too_much {
        return Err(Errno::EBADMSG);
    }
    Ok((received.bytes, sender, passed))
}

impl<C> AsFd for AgentLink<C> {
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
        // For messages sent before the call is accepted.
        setsockopt(&fd, PassCred, &true)?;
        bind(fd.as_raw_fd(), &UnixAddr::new_abstract(address.as_bytes())?)?;
        listen(&fd, Backlog::MAXCONN)?;
        Ok(Self { fd })
    }

    /// The next caller that waits, with its pid.
    pub(crate) fn accept(&self) -> Option<(AgentLink<Caller>, i32)> {
        for _ in 0..MOST_AT_ONCE {
            match accept4(
                self.fd.as_raw_fd(),
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            ) {
                Ok(fd) => {
                    // SAFETY: the kernel has just made this descriptor for us alone.
                    let fd: OwnedFd = unsafe { OwnedFd::from_raw_fd(fd) };
                    let peer = getsockopt(&fd, PeerCredentials).map(|peer| peer.pid());
                    if let Ok(peer) = peer
                        && let Ok(link) = AgentLink::with(fd, Some(peer))
                    {
                        return Some((link, peer));
                    }
                }
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(_) => break,
            }
        }
        None
    }
}

impl AsFd for Switchboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snapshot_core::wire::{FromCaller, FromFrozen, FromTaker, ToFrozen};

    fn packet_to(theirs: &OwnedFd, message: &impl Message) {
        let sent = send(theirs.as_raw_fd(), &message.encode(), MsgFlags::empty());
        assert_eq!(sent, Ok(MESSAGE_BYTES));
    }

    #[test]
    fn a_message_has_the_sender_that_the_kernel_tells() {
        let (ours, theirs) = AgentLink::<Frozen>::pair().expect("sockets are to be had");
        let own = std::process::id().cast_signed();
        packet_to(&theirs, &FromFrozen::Made);
        assert!(matches!(ours.hear(), Heard::Other(FromFrozen::Made, sender) if sender == own));
        ours.bind_to(own);
        packet_to(&theirs, &FromFrozen::Ready);
        assert!(matches!(ours.hear(), Heard::Message(FromFrozen::Ready)));
        ours.bind_to(1);
        packet_to(&theirs, &FromFrozen::Ready);
        assert!(matches!(ours.hear(), Heard::Other(FromFrozen::Ready, sender) if sender == own));
        assert!(matches!(ours.hear(), Heard::Nothing));
    }

    #[test]
    fn what_belongs_to_another_conversation_is_out_of_turn() {
        let (ours, theirs) = AgentLink::<Frozen>::pair().expect("sockets are to be had");
        let own = std::process::id().cast_signed();
        packet_to(&theirs, &FromCaller::Commit);
        let heard = ours.hear();
        assert!(matches!(heard, Heard::OutOfTurn { other } if other == Some(own)));
        ours.bind_to(own);
        packet_to(&theirs, &FromCaller::Commit);
        assert!(matches!(ours.hear(), Heard::OutOfTurn { other: None }));
        // Only the supervisor says that.
        packet_to(&theirs, &ToFrozen::Retire);
        assert!(matches!(ours.hear(), Heard::Closed));
    }

    fn hand_to(theirs: &OwnedFd, message: &impl Message, descriptors: &[RawFd]) {
        let packet = message.encode();
        sendmsg::<UnixAddr>(
            theirs.as_raw_fd(),
            &[IoSlice::new(&packet)],
            &[ControlMessage::ScmRights(descriptors)],
            MsgFlags::empty(),
            None,
        )
        .expect("there is room");
    }

    #[test]
    fn a_listener_brings_one_descriptor() {
        let (ours, theirs) = AgentLink::<Taker>::pair_of().expect("sockets are to be had");
        ours.bind_to(std::process::id().cast_signed());
        let listener = FromTaker::Listener {
            no_new_privs: true,
            is_restricted: false,
            waits_killable: false,
        };
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let descriptor = file.as_raw_fd();
        hand_to(&theirs, &listener, &[descriptor]);
        assert!(matches!(ours.hear(), Heard::Message(said) if said == listener));
        assert!(ours.take_passed().is_some());
        assert!(ours.take_passed().is_none());
        // One that nobody takes is closed with the next message.
        hand_to(&theirs, &listener, &[descriptor]);
        packet_to(&theirs, &FromTaker::Split);
        assert!(matches!(ours.hear(), Heard::Message(_)));
        assert!(matches!(ours.hear(), Heard::Message(FromTaker::Split)));
        assert!(ours.take_passed().is_none());
        // None, too many, or with another message: an agent does nothing of that.
        packet_to(&theirs, &listener);
        assert!(matches!(ours.hear(), Heard::Closed));
        hand_to(&theirs, &listener, &[descriptor, descriptor]);
        assert!(matches!(ours.hear(), Heard::Closed));
        hand_to(&theirs, &FromTaker::Split, &[descriptor]);
        assert!(matches!(ours.hear(), Heard::Closed));
        // What was said before the end is heard all the same.
        hand_to(&theirs, &listener, &[descriptor]);
        drop(theirs);
        let words = ours.hear_last_words();
        assert!(words.is_over);
        assert_eq!(words.passed.map(|(said, _)| said), Some(listener));
    }

    #[test]
    fn what_is_no_message_ends_the_conversation() {
        let (ours, theirs) = AgentLink::<Frozen>::pair().expect("sockets are to be had");
        ours.bind_to(std::process::id().cast_signed());
        for noise in [&[0xa5; MESSAGE_BYTES][..], &[0; MESSAGE_BYTES], b"x"] {
            send(theirs.as_raw_fd(), noise, MsgFlags::empty()).expect("there is room");
            assert!(matches!(ours.hear(), Heard::Closed));
        }
        // No descriptor belongs to this message.
        let packet = FromFrozen::Ready.encode();
        let rights = [theirs.as_raw_fd()];
        sendmsg::<UnixAddr>(
            theirs.as_raw_fd(),
            &[IoSlice::new(&packet)],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::empty(),
            None,
        )
        .expect("there is room");
        assert!(matches!(ours.hear(), Heard::Closed));
        drop(theirs);
        assert!(matches!(ours.hear(), Heard::Closed));
    }
}
