//! A test's side of a fixture: finds or starts the host, and asks it for a copy.
//!
//! With `cargo test` all tests of a program are in one process, which has its own hosts. With nextest each
//! test is a process; those of one run share a host, which the first of them starts.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "owns a descriptor that it has made")]

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::host::{PANIC, RETURNED};
use super::talk::{Answer, Orders, Request, VARIABLE};
use crate::library::api::agent::hindered;
use crate::sys;
use crate::terms::Ended;

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It has returned, and whether all is well.
    Returned(bool),
    /// It has panicked, with this message.
    Panicked(String),
    /// Its process has ended before.
    Early(Ended),
}

/// The host that this process has started.
#[derive(Debug)]
pub(super) struct Client {
    process: Child,
    /// What it prints while it sets up: stdout and stderr.
    log: Option<[Output; 2]>,
}

/// How long a host that somebody else starts may take to listen, and one that hangs up to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Has the host run a test.
    ///
    /// # Errors
    /// Says why there is no host, or no copy.
    pub(super) fn ask(
        started: &Mutex<Option<Self>>,
        orders: Orders,
        request: Request,
    ) -> Result<End, String> {
        let connection = connect(started, orders).map_err(|error| format!("no host: {error}"))?;
        let shows_at_once = is_under_nextest();
        let output = if shows_at_once {
            None
        } else {
            Some([Output::make()?, Output::make()?])
        };
        let fds = match &output {
            Some([out, err]) => [out.0.as_raw_fd(), err.0.as_raw_fd()],
            None => [1, 2],
        };
        let answer = converse(connection, request, fds);
        // What the host has printed comes first.
        let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = started.as_mut().and_then(|client| client.log.take()) {
            show(log);
        }
        if let Some(output) = output {
            show(output);
        }
        let (answer, word) = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(why_gone(&mut started, &error)),
        };
        match answer {
            Answer::Refused(obstacle) => Err(hindered(Some(obstacle)).to_string()),
            Answer::Stranger => Err("the host is another fixture's".to_owned()),
            Answer::Ended {
                ended,
                not_restored,
            } => {
                if not_restored > 0 {
                    // The next test gets a new host. If this one is gone already, that is as well.
                    let _ = connect_to_end(orders);
                    started.take();
                }
                Ok(match word.split_first() {
                    Some((&PANIC, text)) => {
                        End::Panicked(String::from_utf8_lossy(text).into_owned())
                    }
                    Some((&RETURNED, _)) => End::Returned(ended == Ended::Exited(0)),
                    _ => End::Early(ended),
                })
            }
        }
    }
}

/// Whether each test is a process of its own, and its output is not captured in it.
fn is_under_nextest() -> bool {
    std::env::var_os("NEXTEST_RUN_ID").is_some()
}

/// Whom a host serves, and the name by which it is found.
fn owner_and_name(orders: Orders) -> io::Result<(i32, SocketAddr)> {
    let own = sys::getpid();
    // A parent that has ended owns nothing.
    let run = std::env::var_os("NEXTEST_RUN_ID").filter(|_| sys::getppid() > 1);
    let owner = if run.is_some() { sys::getppid() } else { own };
    let program = std::fs::metadata("/proc/self/exe")?;
    let mut hasher = DefaultHasher::new();
    (run, owner, program.dev(), program.ino()).hash(&mut hasher);
    (program.mtime(), program.mtime_nsec()).hash(&mut hasher);
    (orders.host.0, orders.set_up.0, sys::effective_ids()).hash(&mut hasher);
    let name = format!("snapshot-fixture-{owner}-{:016x}", hasher.finish());
    Ok((owner, SocketAddr::from_abstract_name(name)?))
}

/// Connects to the host, and starts one if there is none.
fn connect(started: &Mutex<Option<Client>>, orders: Orders) -> io::Result<UnixStream> {
    let (owner, name) = owner_and_name(orders)?;
    let until = Instant::now() + PATIENCE;
    loop {
        // In this process one thread at a time looks for the host.
        let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
        match UnixStream::connect_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(connection) if !is_ours(&connection) => {
                return Err(io::Error::other("another user has its name"));
            }
            connected => return connected,
        }
        match UnixListener::bind_addr(&name) {
            Ok(listener) => {
                let orders = Orders { owner, ..orders };
                *started = Some(start(listener, orders)?);
            }
            // Somebody else has begun to start it.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                // It has the name, and listens in a moment: nothing tells when.
                drop(started);
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether this user listens there.
fn is_ours(connection: &UnixStream) -> bool {
    let user = sys::peer_ids(connection.as_raw_fd()).map(|(user, _)| user);
    user == Some(sys::effective_ids().0)
}

fn start(listener: UnixListener, orders: Orders) -> io::Result<Client> {
    let failed = |why: String| io::Error::other(why);
    let log = [
        Output::make().map_err(failed)?,
        Output::make().map_err(failed)?,
    ];
    let [out, err] = [log[0].0.try_clone()?, log[1].0.try_clone()?];
    let process = Command::new("/proc/self/exe")
        .arg0(std::env::current_exe()?)
        .env(VARIABLE, orders.to_text())
        .stdin(OwnedFd::from(listener))
        .stdout(out)
        .stderr(err)
        // Ctrl+C is for the tests: the host ends after them, and cleans up.
        .process_group(0)
        .spawn()?;
    Ok(Client {
        process,
        log: Some(log),
    })
}

/// Ends the host, and waits until nobody listens under its name.
fn connect_to_end(orders: Orders) -> io::Result<()> {
    let (_, name) = owner_and_name(orders)?;
    let mut connection = UnixStream::connect_addr(&name)?;
    let end = Request::end(orders.set_up).encode();
    sys::send_with(connection.as_raw_fd(), &end, &[1, 2])?;
    // It answers nothing, and closes the connection behind the name.
    connection.read_to_end(&mut Vec::new()).map(drop)
}

/// A host that has hung up has ended, or is about to. If this process has started it, it says how.
fn why_gone(started: &mut Option<Client>, error: &io::Error) -> String {
    let status = started.take().and_then(|mut client| {
        let ended = sys::pidfd_open(client.process.id().cast_signed()).ok()?;
        let patience = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
        let _ = sys::poll_readable([ended], patience);
        sys::close(ended);
        client.process.try_wait().ok()?
    });
    match status {
        Some(status) => format!("its host has ended: {status}"),
        None => format!("its host has hung up: {error}"),
    }
}

/// Asks for a copy, and waits for its end.
fn converse(
    mut connection: UnixStream,
    request: Request,
    output: [i32; 2],
) -> io::Result<(Answer, Vec<u8>)> {
    sys::send_with(connection.as_raw_fd(), &request.encode(), &output)?;
    let mut head = [0; Answer::BYTES];
    connection.read_exact(&mut head)?;
    let nonsense = || io::Error::from(io::ErrorKind::InvalidData);
    let (answer, length) = Answer::decode(&head).ok_or_else(nonsense)?;
    let mut word = vec![0; length];
    connection.read_exact(&mut word)?;
    Ok((answer, word))
}

/// What a copy prints.
#[derive(Debug)]
struct Output(File);

impl Output {
    fn make() -> Result<Self, String> {
        let failed = |errno: sys::Errno| format!("its output: {}", io::Error::from(errno));
        let fd = sys::memfd(c"snapshot-fixture-output").map_err(failed)?;
        // Several write to it, each behind the others.
        sys::fcntl(fd, libc::F_SETFL, libc::O_APPEND as usize).map_err(failed)?;
        // SAFETY: it has just been made, and nobody else has it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    fn text(mut self) -> String {
        let mut bytes = Vec::new();
        // Memory can be read.
        let _ = self
            .0
            .rewind()
            .and_then(|()| self.0.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Prints it so that a test's harness captures it.
fn show([out, err]: [Output; 2]) {
    print!("{}", out.text());
    eprint!("{}", err.text());
    let _ = io::stdout().flush();
}
