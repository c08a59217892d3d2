//! The channels that bytes go through: pipes, sockets, a terminal.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// A descriptor to write to and one to read from.
pub struct Channel {
    pub writer: OwnedFd,
    pub reader: OwnedFd,
}

pub fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: made by the caller for this.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub fn pipe() -> Channel {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    Channel { writer, reader }
}

pub fn unix() -> Channel {
    let (writer, reader) = UnixStream::pair().expect("a pair");
    Channel {
        writer: writer.into(),
        reader: reader.into(),
    }
}

pub fn tcp() -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let writer = TcpStream::connect(address).expect("it listens");
    let (reader, _) = listener.accept().expect("it was connected to");
    // So a megabyte fits in neither end.
    for (fd, option) in [
        (writer.as_raw_fd(), libc::SO_SNDBUF),
        (reader.as_raw_fd(), libc::SO_RCVBUF),
    ] {
        let bytes: i32 = 32 << 10;
        // SAFETY: reads an int.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const bytes).cast(),
                size_of::<i32>() as u32,
            );
        }
    }
    Channel {
        writer: writer.into_raw_fd_owned(),
        reader: reader.into_raw_fd_owned(),
    }
}

trait IntoOwned {
    fn into_raw_fd_owned(self) -> OwnedFd;
}

impl<T: IntoRawFd> IntoOwned for T {
    fn into_raw_fd_owned(self) -> OwnedFd {
        owned(self.into_raw_fd())
    }
}

/// A terminal: the program's side to write to, and the other side to read from.
pub fn pty() -> Channel {
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let mut raw = tcgetattr(&pty.slave).expect("a terminal has settings");
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).expect("raw mode");
    Channel {
        writer: pty.slave,
        reader: pty.master,
    }
}
