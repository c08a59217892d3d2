//! Clients of a server that sends back what it gets. A [`Client`] expects each answer. A
//! [`Crowd`] connects and leaves in the background, and goes on when a revert cuts it off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::deadline::{self, PATIENCE};

/// How long a client of the crowd waits for an answer. A branch may read the request and end;
/// then no answer comes.
const CUT_OFF: Duration = Duration::from_millis(100);

/// The pause between two connections of one client.
const PAUSE: Duration = Duration::from_millis(1);

/// How many requests a client of the crowd makes on one connection.
const REQUESTS: u64 = 8;

/// A connection to a port of the loopback, on which nothing takes longer than `patience`.
pub(crate) fn connect(port: u16, patience: Duration) -> std::io::Result<TcpStream> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// One connection to a server on the loopback.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// Connects; its answers are due within [`PATIENCE`].
    ///
    /// # Errors
    /// When nobody listens.
    pub fn new(port: u16) -> std::io::Result<Self> {
        connect(port, PATIENCE).map(Self)
    }

    /// Sends a text and waits for it to come back.
    ///
    /// # Errors
    /// When another answer comes, or none.
    pub fn echo(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        let mut back = vec![0; text.len()];
        self.0.read_exact(&mut back)?;
        if back == text.as_bytes() {
            return Ok(());
        }
        let back = String::from_utf8_lossy(&back).into_owned();
        Err(std::io::Error::other(format!("{text:?} came as {back:?}")))
    }

    /// Its own address, which the server sees as the peer's.
    ///
    /// # Panics
    /// Never: it is connected.
    pub fn address(&self) -> String {
        let address = self.0.local_addr().expect("it is connected");
        address.to_string()
    }
}

/// Clients in the background, until it is dropped.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Sends this many clients to the server at this port of the loopback.
    pub fn of(count: usize, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let client = |number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut visits: u64 = 0;
                while !stop.load(Ordering::Relaxed) {
                    visits += 1;
                    let text = format!("client {number} visit {visits}");
                    let requests = visits % REQUESTS + 1;
                    // A revert may cause any error.
                    if visit(port, &text, requests).is_ok() {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let clients = (0..count).map(client).collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    /// How many visits have succeeded.
    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until one more succeeds; false if none does.
    pub fn is_served(&self) -> bool {
        // A visit that began earlier may still be cut off.
        let enough = self.served() + 1;
        deadline::wait(|| (self.served() >= enough).then_some(())).is_some()
    }
}

fn visit(port: u16, text: &str, requests: u64) -> std::io::Result<()> {
    let mut client = Client(connect(port, CUT_OFF)?);
    // The answer of a dead branch may come a second time: that is an error as well.
    (0..requests).try_for_each(|request| client.echo(&format!("{text} request {request}")))
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // A panic of its own has been printed.
            let _ = client.join();
        }
    }
}
