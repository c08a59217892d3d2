//! The agent's connection to the supervisor, in one of the conversations.
//!
//! Each conversation has a new link. So the program never holds a descriptor of ours between
//! takes: it may close all descriptors, or count on 3 for the next one, and nothing breaks.
//!
//! Context: AS-SAFE.

use core::marker::PhantomData;

use super::{
    caller::{Caller, FromCaller},
    conversation::{Conversation, Message},
    packet::MESSAGE_BYTES,
    taker::Taker,
};
use crate::sys::{self, Errno};
use crate::terms::{Ask, Text};

/// One end of the conversation `C`. Not closed on drop: after a split two processes have it.
#[derive(Debug)]
pub struct Link<C> {
    fd: i32,
    conversation: PhantomData<C>,
}

impl Link<Caller> {
    /// Calls the supervisor that listens on this abstract name.
    ///
    /// # Errors
    /// ECONNREFUSED if it is gone, EMFILE if the program has no descriptor left.
    pub fn connect(name: &[u8]) -> sys::Result<Self> {
        let fd = sys::connect_abstract(name)?;
        // Avoids 0, 1 and 2: a program may have closed them and expect them closed in the frozen
        // copy.
        let fd = if fd < 3 {
            let higher = sys::duplicate_above(fd, 3);
            sys::close(fd);
            higher?
        } else {
            fd
        };
        Ok(Self::from_fd(fd))
    }

    /// Asks for a take, and the call becomes one. Hangs up on an error.
    ///
    /// # Errors
    /// As [`Link::say`].
    pub(crate) fn begin(self, ask: Ask, at_ns: u64, label: Text) -> sys::Result<Link<Taker>> {
        match self.say(FromCaller::Begin { ask, at_ns, label }) {
            Ok(()) => Ok(Link::from_fd(self.fd)),
            Err(errno) => {
                self.close();
                Err(errno)
            }
        }
    }
}

impl<C: Conversation> Link<C> {
    /// Makes a link of an end that came over another.
    pub(crate) const fn from_fd(fd: i32) -> Self {
        Self {
            fd,
            conversation: PhantomData,
        }
    }

    /// The descriptor, to wait on.
    pub(crate) const fn fd(&self) -> i32 {
        self.fd
    }

    /// Says something.
    ///
    /// # Errors
    /// EPIPE when the supervisor is gone or has hung up.
    pub fn say(&self, message: C::FromAgent) -> sys::Result<()> {
        sys::send(self.fd, &message.encode())
    }

    /// Says something and hands a descriptor over.
    ///
    /// # Errors
    /// As [`Link::say`]; ETOOMANYREFS if the user has too many descriptors on their way.
    pub(crate) fn hand(&self, message: C::FromAgent, descriptor: i32) -> sys::Result<()> {
        let packet = message.encode();
        loop {
            match sys::send_with(self.fd, &packet, &[descriptor]) {
                Ok(_) => return Ok(()),
                // The supervisor will read, or hang up.
                Err(Errno(libc::EINTR | libc::EAGAIN)) => sys::pause_ns(100_000),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Waits for an answer and the descriptor that may come with it.
    ///
    /// # Errors
    /// EPIPE when the supervisor is gone, EPROTO when it speaks another version, or another
    /// conversation.
    pub fn hear(&self) -> sys::Result<(C::ToAgent, Option<i32>)> {
        let mut packet = [0; MESSAGE_BYTES];
        loop {
            match sys::receive(self.fd, &mut packet) {
                Ok((0, _)) => return Err(Errno(libc::EPIPE)),
                Ok((MESSAGE_BYTES, passed)) => {
                    return match C::ToAgent::decode(&packet) {
                        Some(message) => Ok((message, passed)),
                        None => Err(Errno(libc::EPROTO)),
                    };
                }
                Ok(_) => return Err(Errno(libc::EPROTO)),
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Hangs up.
    pub fn close(self) {
        sys::close(self.fd);
    }

    /// In a copy of the process: closes the copy's descriptor; the original keeps its own.
    pub(crate) fn leave(&self) {
        sys::close(self.fd);
    }
}
