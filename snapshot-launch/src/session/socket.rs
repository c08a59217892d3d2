//! The listening control socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::unistd::{getpid, write};

use crate::talk::{
    control::{self, Answer},
    doors::{self, Place},
};

/// The listening socket. Drop removes its file.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    place: Place,
}

impl ControlSocket {
    /// Makes the socket of this launcher.
    ///
    /// # Errors
    /// Why no directory is suitable.
    pub(crate) fn open() -> io::Result<Self> {
        let (listener, place) = doors::open(getpid().as_raw())?;
        let socket = Self { listener, place };
        socket.listener.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Its place.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Accepts the next permitted client; refuses other users.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => return Err(error),
                },
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            match control::peer_is_friend(&stream) {
                Ok(true) => return Ok(Some(stream)),
                Ok(false) => refuse(&stream),
                Err(_) => {}
            }
        }
    }
}

/// A short refusal, which a new connection has room for.
fn refuse(stream: &UnixStream) {
    let answer = Answer::Refused {
        what: "cannot talk to this session".to_owned(),
        cause: "it belongs to another user".to_owned(),
        help: "ask as that user".to_owned(),
    };
    if let Ok(mut line) = serde_json::to_vec(&answer) {
        line.push(b'\n');
        let _ = write(stream, &line);
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.place.remove();
    }
}
