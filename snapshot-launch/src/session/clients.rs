//! The connected second terminals. A fixed number is served at once, each while it asks and
//! listens.
//!
//! None of them can hold the session up. A request is read as it comes, an answer is written as
//! it is read, and a client that is idle for a while makes room for the next one. Requests
//! reach the supervisor in the order in which they came, and only a few at a time: both sides
//! write into one channel, and neither may wait for the other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::read;
use snapshot_core::sys::now_ns;

use super::{outlets::Outlet, socket::ControlSocket};
use crate::talk::control::{Answer, Request};

/// How many are served at once; others wait until one of these is done.
const MOST: usize = 64;

/// The longest request: only a label can make one long.
const LONGEST: usize = 64 * 1024;

/// How many bytes of requests may be on their way to the supervisor: less than its channel
/// holds on any system.
const ON_THE_WAY: usize = 100 * 1024;

/// How long an idle client keeps its place while others wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a client may take to read an answer while no other waits.
const READING: Duration = Duration::from_secs(10);

/// The pause before the next try, if no descriptor was left.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client does now.
#[derive(Debug)]
enum Doing {
    /// It has not asked yet.
    Speaking { line: Vec<u8> },
    /// It has asked, and others come first.
    Asking {
        request: Request,
        length: usize,
        asked_ns: u64,
    },
    /// The supervisor answers it.
    Waiting { token: u64, length: usize },
    /// It reads its answer.
    Reading,
}

/// A second terminal.
#[derive(Debug)]
struct Client {
    stream: Outlet,
    doing: Doing,
    /// Since when it does that.
    since: Instant,
}

/// All second terminals.
#[derive(Debug, Default)]
pub(super) struct Clients {
    list: Vec<Client>,
    /// The time at which no descriptor was left.
    none_left: Option<Instant>,
}

impl Clients {
    /// The clients to poll, by index, and for what.
    pub(super) fn sources(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, PollFlags)> {
        self.list.iter().enumerate().map(|(index, client)| {
            let flags = match client.doing {
                Doing::Speaking { .. } => PollFlags::POLLIN,
                // The kernel reports a hang-up in any case.
                Doing::Asking { .. } | Doing::Waiting { .. } => PollFlags::empty(),
                Doing::Reading => PollFlags::POLLOUT,
            };
            (index, client.stream.as_fd(), flags)
        })
    }

    /// Whether there is a place for one more.
    pub(super) fn has_room(&self) -> bool {
        let is_paused = self.none_left.is_some_and(|at| at.elapsed() < PAUSE);
        !is_paused && (self.list.len() < MOST || self.idle().is_some())
    }

    /// The client that has been idle for longest, if for long enough.
    fn idle(&self) -> Option<usize> {
        self.idlers()
            .filter(|(_, client)| client.since.elapsed() >= PATIENCE)
            .min_by_key(|(_, client)| client.since)
            .map(|(index, _)| index)
    }

    fn idlers(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.list
            .iter()
            .enumerate()
            .filter(|(_, client)| matches!(client.doing, Doing::Speaking { .. } | Doing::Reading))
    }

    /// The time until the next look, even if no client speaks.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let left = |since: Instant, time: Duration| time.saturating_sub(since.elapsed());
        let is_full = self.list.len() >= MOST;
        let idle = self.idlers().filter_map(|(_, client)| match client.doing {
            _ if is_full => Some(left(client.since, PATIENCE)),
            Doing::Reading => Some(left(client.since, READING)),
            _ => None,
        });
        let paused = self.none_left.map(|at| left(at, PAUSE));
        idle.chain(paused).filter(|left| !left.is_zero()).min()
    }

    /// Accepts waiting clients, as far as there are places.
    pub(super) fn accept(&mut self, door: &ControlSocket) {
        self.none_left = None;
        while self.has_room() {
            match door.accept() {
                Ok(Some(stream)) => {
                    if self.list.len() >= MOST
                        && let Some(idle) = self.idle()
                    {
                        self.list.remove(idle);
                    }
                    self.list.push(Client {
                        stream: Outlet::to_own(OwnedFd::from(stream)),
                        doing: Doing::Speaking { line: Vec::new() },
                        since: Instant::now(),
                    });
                }
                Ok(None) => return,
                // EMFILE: the client waits, and the socket is looked at again later.
                Err(_) => self.none_left = Some(Instant::now()),
            }
        }
    }

    /// Serves a client that polled ready.
    pub(super) fn hear(&mut self, index: usize) {
        let Some(client) = self.list.get_mut(index) else {
            return;
        };
        let stays = match &client.doing {
            Doing::Speaking { .. } => client.read(),
            // Polled for nothing, it can only be gone.
            Doing::Asking { .. } | Doing::Waiting { .. } => false,
            Doing::Reading => client.write(),
        };
        if !stays {
            self.list.remove(index);
        }
    }

    /// Removes the clients that are idle for too long.
    pub(super) fn tidy(&mut self) {
        self.list.retain(|client| {
            !matches!(client.doing, Doing::Reading) || client.since.elapsed() < READING
        });
    }

    /// The next request for the supervisor, and when it was made; its client now waits for
    /// `token`.
    pub(super) fn next_request(&mut self, token: u64) -> Option<(Request, u64)> {
        let on_the_way: usize = self.list.iter().map(Client::on_the_way).sum();
        let next = self
            .list
            .iter_mut()
            .filter_map(|client| match &client.doing {
                Doing::Asking {
                    asked_ns, length, ..
                } => Some((*asked_ns, *length, client)),
                _ => None,
            })
            .min_by_key(|(asked_ns, ..)| *asked_ns);
        let (asked_ns, length, client) = next?;
        if on_the_way > 0 && on_the_way + length > ON_THE_WAY {
            return None;
        }
        client.since = Instant::now();
        match std::mem::replace(&mut client.doing, Doing::Waiting { token, length }) {
            Doing::Asking { request, .. } => Some((request, asked_ns)),
            _ => None,
        }
    }

    /// Passes the supervisor's answer on.
    pub(super) fn answered(&mut self, token: u64, answer: &Answer) {
        let is_meant = |client: &Client| matches!(client.doing, Doing::Waiting { token: theirs, .. } if theirs == token);
        if let Some(at) = self.list.iter().position(is_meant)
            && let Some(client) = self.list.get_mut(at)
            && !client.answer(answer)
        {
            self.list.remove(at);
        }
    }
}

impl Client {
    /// How many bytes of its request may be in the channel.
    fn on_the_way(&self) -> usize {
        match self.doing {
            Doing::Waiting { length, .. } => length,
            _ => 0,
        }
    }

    fn becomes(&mut self, doing: Doing) {
        self.doing = doing;
        self.since = Instant::now();
    }

    /// Reads what there is. False if the client is gone, or has had its answer.
    fn read(&mut self) -> bool {
        let Doing::Speaking { line } = &mut self.doing else {
            return true;
        };
        let mut bytes = [0; 4096];
        let mut is_over = false;
        while line.len() <= LONGEST && !line.contains(&b'\n') {
            match read(&self.stream, &mut bytes) {
                Ok(0) => {
                    is_over = true;
                    break;
                }
                Ok(length) => line.extend_from_slice(&bytes[..length]),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            line.truncate(end);
            let line = std::mem::take(line);
            return self.asks(&line);
        }
        if line.len() > LONGEST {
            return self.answer(&refused(
                format!("it is longer than {} KB", LONGEST / 1024),
                "choose a shorter label",
            ));
        }
        !is_over
    }

    fn asks(&mut self, line: &[u8]) -> bool {
        match serde_json::from_slice(line) {
            Ok(request) => {
                self.becomes(Doing::Asking {
                    request,
                    length: line.len(),
                    asked_ns: now_ns(),
                });
                true
            }
            Err(error) => self.answer(&refused(
                error.to_string(),
                "use the same version of cargo-snapshot in both terminals",
            )),
        }
    }

    /// Writes the answer, as far as the client reads it at once. False if that was all.
    fn answer(&mut self, answer: &Answer) -> bool {
        let Ok(mut line) = serde_json::to_vec(answer) else {
            return false;
        };
        line.push(b'\n');
        self.stream.push(&line);
        self.becomes(Doing::Reading);
        self.write()
    }

    /// Writes as much as the client reads at once. False if that was the end.
    fn write(&mut self) -> bool {
        self.stream.write();
        self.stream.is_waiting()
    }
}

fn refused(cause: String, help: &str) -> Answer {
    Answer::Refused {
        what: "cannot understand the request".to_owned(),
        cause,
        help: help.to_owned(),
    }
}
