//! `RootOnly` with a connection that is shut down when it is dropped, as those of TLS and databases are:
//! the branch and the original share it, and no revert calls a goodbye back.
//!
//! Prints:
//! ```text
//! without RootOnly it answers: false
//! with RootOnly it answers: true
//! at the end the server has seen the goodbye: true
//! ```

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use snapshot_core::{Arrival, RootOnly, revert, snapshot};

struct Connection(UnixStream);

impl Connection {
    /// To a server that sends back what it gets.
    fn open() -> io::Result<(Self, Child)> {
        let (near, far) = UnixStream::pair()?;
        let out = OwnedFd::from(far.try_clone()?);
        let server = Command::new("cat")
            .stdin(OwnedFd::from(far))
            .stdout(out)
            .spawn()?;
        Ok((Self(near), server))
    }

    fn answers(&mut self) -> bool {
        let mut answer = [0; 4];
        self.0.write_all(b"ping").is_ok() && self.0.read_exact(&mut answer).is_ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut plain, mut server) = Connection::open()?;
    if let Arrival::Live(_) = snapshot()? {
        drop(plain);
        match revert()? {}
    }
    println!("without RootOnly it answers: {}", plain.answers());
    server.wait()?;

    let (kept, mut server) = Connection::open()?;
    let mut kept = RootOnly::new(kept);
    if let Arrival::Live(_) = snapshot()? {
        drop(kept);
        match revert()? {}
    }
    println!("with RootOnly it answers: {}", kept.answers());

    drop(kept);
    let goodbye = server.wait()?.success();
    println!("at the end the server has seen the goodbye: {goodbye}");
    Ok(())
}
