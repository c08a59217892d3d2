//! A Redis server, and a client that speaks its protocol.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::deadline::{self, PATIENCE};
use crate::launch::Launch;
use crate::piped::PipedSession;
use crate::{clients, leaks, process};

/// A server that keeps everything in memory, and is ready.
///
/// # Panics
/// When the harness does not find it by its mark, which it needs to see leaks.
pub fn server(program: PathBuf, arguments: &[&str]) -> PipedSession {
    let mut session = Launch::program(program)
        .args(["--save", "", "--appendonly", "no"])
        // The server's title would overwrite the environment with the harness's mark.
        .args(["--set-proc-title", "no"])
        .args(arguments)
        .piped();
    session.next_line("ready", |line| line.contains("eady to accept connections"));
    let live = session.live_pid();
    let marked = leaks::processes(session.mark());
    assert!(
        marked.iter().any(|process| process.pid == live),
        "{marked:?}"
    );
    // Each thread sets its own name, perhaps only after the server is ready; until then it has
    // the first thread's name.
    session.wait_until("every thread has its name", || {
        let names = process::threads(live);
        names.iter().filter(|name| *name == "redis-server").count() == 1
    });
    session
}

/// A connection of either kind.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// One connection to a server. Whatever goes wrong on it fails the test.
pub struct Client(BufReader<Box<dyn Stream>>);

impl Client {
    /// Connects to a socket with a path.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn unix(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the server listens");
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("no timeout of zero");
        }
        Self(BufReader::new(Box::new(stream)))
    }

    /// Connects to a port of the loopback.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn tcp(port: u16) -> Self {
        let stream = clients::connect(port, PATIENCE).expect("the server listens");
        Self(BufReader::new(Box::new(stream)))
    }

    /// Sends a command: an array of strings, each with its length in bytes.
    ///
    /// # Panics
    /// When the connection is cut off.
    pub fn send(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let stream = self.0.get_mut();
        stream.write_all(text.as_bytes()).expect("the server reads");
    }

    /// An answer: a status, an error, a number, or a string with its length before it.
    ///
    /// # Panics
    /// When none comes.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server answers");
        let line = line.trim_end();
        let Some(length) = line.strip_prefix('$') else {
            return line.get(1..).expect("no answer is empty").to_owned();
        };
        let Ok(length) = length.parse::<usize>() else {
            return "nothing".into();
        };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).expect("the server answers");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// A command and its answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }

    /// A number in the answer to `INFO`.
    ///
    /// # Panics
    /// When there is no such number.
    pub fn info(&mut self, name: &str) -> u64 {
        let info = self.ask("INFO everything");
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {name} in {info}"));
        value.parse().expect("a number")
    }

    /// Waits until only this many clients are connected, of whichever branch.
    ///
    /// # Panics
    /// When that doesn't happen.
    pub fn settle(&mut self, count: u64) {
        let settled = deadline::wait(|| (self.info("connected_clients") == count).then_some(()));
        assert!(
            settled.is_some(),
            "clients are left:\n{}",
            self.ask("CLIENT LIST")
        );
    }
}
