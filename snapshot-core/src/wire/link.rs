//! The agent's connection to the supervisor.
//!
//! It is made anew for each conversation and closed after it, so that the program never
//! holds a descriptor of ours between takes: it may close every descriptor it knows,
//! or count on the next one being 3, and nothing breaks.
//!
//! Context: AS-SAFE.

use crate::sys::{self, Errno};
use crate::wire::{FromAgent, FromSupervisor, MESSAGE_BYTES};

/// One end of a conversation. Not closed on drop: after a split two processes have it.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    fd: i32,
}

impl Link {
    /// Calls the supervisor that listens on this abstract name.
    ///
    /// # Errors
    /// ECONNREFUSED where it is gone, EMFILE where the program has no descriptor left.
    pub fn connect(name: &[u8]) -> sys::Result<Self> {
        let fd = sys::connect_abstract(name)?;
        // Out of the way of 0, 1 and 2, which a program may have closed and may expect
        // to be closed in the frozen copy too.
        let fd = if fd < 3 {
            let higher = sys::duplicate_above(fd, 3);
            sys::close(fd);
            higher?
        } else {
            fd
        };
        Ok(Self { fd })
    }

    /// An end that came over another link.
    pub(crate) fn from_fd(fd: i32) -> Self {
        Self { fd }
    }

    /// The descriptor, to wait on.
    pub(crate) fn fd(self) -> i32 {
        self.fd
    }

    /// Says something.
    ///
    /// # Errors
    /// EPIPE when the supervisor is gone or has hung up.
    pub fn say(self, message: FromAgent) -> sys::Result<()> {
        sys::send(self.fd, &message.encode())
    }

    /// Waits for an answer and the descriptor that may come with it.
    ///
    /// # Errors
    /// EPIPE when the supervisor is gone, EPROTO when it speaks another version.
    pub fn hear(self) -> sys::Result<(FromSupervisor, Option<i32>)> {
        let mut packet = [0; MESSAGE_BYTES];
        loop {
            match sys::receive(self.fd, &mut packet) {
                Ok((0, _)) => return Err(Errno(libc::EPIPE)),
                Ok((MESSAGE_BYTES, passed)) => {
                    return match FromSupervisor::decode(&packet) {
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
}
