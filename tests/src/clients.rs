//! Clients of a server that sends back what it gets: one whose answer is due, and a crowd in
//! the background that comes and goes, and takes it as it comes when a revert cuts it off.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::deadline::{self, PATIENCE};

/// How long a client of the crowd waits for an answer: a branch that has read its request and
/// is gone will never send one.
const CUT_OFF: Duration = Duration::from_millis(100);

/// Between two connections of one client.
const PAUSE: Duration = Duration::from_millis(1);

/// How many requests a client of the crowd makes on one connection.
const REQUESTS: u64 = 8;

/// A new connection that must be served, with something to say that nobody else does.
///
/// # Errors
/// What went wrong, or what came back instead.
pub fn is_served(port: u16, text: &str) -> Result<(), String> {
    let mut stream = connect(port, PATIENCE).map_err(|error| error.to_string())?;
    let back = echo(&mut stream, text.as_bytes()).map_err(|error| error.to_string())?;
    if back == text.as_bytes() {
        return Ok(());
    }
    Err(format!("{:?}", String::from_utf8_lossy(&back)))
}

fn connect(port: u16, patience: Duration) -> std::io::Result<TcpStream> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn echo(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}

/// Clients in the background, until it is dropped.
#[derive(Debug)]
pub struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Sends so many clients to the server at this port of the loopback.
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
                    // Whatever goes wrong may be a revert's doing.
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

    /// How many visits have gone well.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until one more goes well; false if none does.
    pub fn is_served(&self) -> bool {
        // One that has begun before may be cut off still.
        let enough = self.served() + 1;
        deadline::wait(|| (self.served() >= enough).then_some(())).is_some()
    }
}

fn visit(port: u16, text: &str, requests: u64) -> std::io::Result<()> {
    let mut stream = connect(port, CUT_OFF)?;
    for request in 0..requests {
        let text = format!("{text} request {request}");
        // An answer that the dead branch has given may come a second time.
        if echo(&mut stream, text.as_bytes())? != text.as_bytes() {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
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
