//! The control socket, served: requests come in as lines, answers go out as lines.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::getpid;

use crate::control::{self, Answer, Request};

/// The longest request: a label is all that can make one long.
const LONGEST: usize = 64 * 1024;

/// The listening socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket of this launcher.
    pub(crate) fn open() -> io::Result<Self> {
        let path = control::socket_path(getpid().as_raw());
        let directory = path.parent().unwrap_or(Path::new("/"));
        // Another session that ends may remove the directory between the two lines.
        let mut tries = 0;
        let listener = loop {
            control::prepare_directory(directory)?;
            // Of an earlier process of the same number that was killed.
            let _ = std::fs::remove_file(&path);
            match UnixListener::bind(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 100 => tries += 1,
                outcome => break outcome?,
            }
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    /// The next one who calls and may: another user is told no.
    pub(crate) fn accept(&self) -> Option<Client> {
        loop {
            let (stream, _) = self.listener.accept().ok()?;
            let client = Client {
                stream,
                line: Vec::new(),
                token: None,
            };
            if client.stream.set_nonblocking(true).is_err() {
                continue;
            }
            match control::peer_is_friend(&client.stream) {
                Ok(true) => return Some(client),
                Ok(false) => client.answer(&Answer::Refused {
                    what: "cannot talk to this session".to_owned(),
                    cause: "it belongs to another user".to_owned(),
                    help: "ask as that user".to_owned(),
                }),
                Err(_) => {}
            }
        }
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        control::remove_socket(&self.path);
    }
}

/// A second terminal.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    /// What it waits for, once it has asked.
    pub(crate) token: Option<u64>,
}

/// What a client has said.
#[derive(Debug)]
pub(crate) enum Said {
    Request(Request),
    /// Not yet a whole line.
    Nothing,
    /// It has hung up, or speaks nonsense.
    Gone,
}

impl Client {
    /// Reads what is there.
    pub(crate) fn read(&mut self) -> Said {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Said::Gone,
                Ok(length) => self.line.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Said::Gone,
            }
            if self.line.len() > LONGEST {
                return Said::Gone;
            }
        }
        let Some(end) = self.line.iter().position(|&byte| byte == b'\n') else {
            return Said::Nothing;
        };
        match serde_json::from_slice(&self.line[..end]) {
            Ok(request) => Said::Request(request),
            Err(error) => {
                self.answer(&Answer::Refused {
                    what: "cannot understand the request".to_owned(),
                    cause: error.to_string(),
                    help: "use the same version of cargo-snapshot in both terminals".to_owned(),
                });
                Said::Gone
            }
        }
    }

    /// Answers. A client that does not read is given up after a second.
    pub(crate) fn answer(&self, answer: &Answer) {
        let Ok(mut line) = serde_json::to_vec(answer) else {
            return;
        };
        line.push(b'\n');
        let patient = self
            .stream
            .set_nonblocking(false)
            .and_then(|()| self.stream.set_write_timeout(Some(Duration::from_secs(1))));
        if patient.is_ok() {
            let _ = (&self.stream).write_all(&line);
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
