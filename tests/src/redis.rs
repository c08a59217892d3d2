//! A client of Redis, which speaks its protocol by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::deadline::PATIENCE;

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
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            set(&stream, Some(PATIENCE)).expect("no timeout of zero");
        }
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

    /// A number that `INFO` tells.
    ///
    /// # Panics
    /// When it tells no such number.
    pub fn info(&mut self, name: &str) -> u64 {
        let info = self.ask("INFO everything");
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {name} in {info}"));
        value.parse().expect("a number")
    }
}
