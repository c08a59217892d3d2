//! The session's socket: how a second terminal finds sessions and talks to one.
//!
//! A request is one JSON line, an answer is one JSON line, and the connection ends.
//! The socket lies in a directory that only its owner may enter, and both ends check
//! who the other is (SO_PEERCRED): another user is refused, root excepted.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Trigger};
use crate::problem::{Problem, exit};

/// What a second terminal asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Who are you, and what snapshots are there?
    List,
    /// Take a snapshot.
    Take {
        /// What to call it.
        label: Option<String>,
    },
    /// Go on from a snapshot.
    Revert {
        /// Which; the newest if none is named.
        id: Option<u32>,
        /// Leave the snapshot there.
        keep: bool,
    },
    /// Drop every snapshot.
    Commit,
    /// Forget one snapshot.
    Drop {
        /// Which.
        id: u32,
    },
}

/// What the session answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "kebab-case")]
pub enum Answer {
    /// It is done, and this is what happened.
    Done(Event),
    /// The session and its timeline.
    List(Listing),
    /// It can't be done; the program goes on untouched.
    Refused {
        /// What could not be done.
        what: String,
        /// Why.
        cause: String,
        /// The next step.
        help: String,
    },
}

/// A session and its timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The session's name.
    pub session: String,
    /// The launcher.
    pub launcher_pid: i32,
    /// The program.
    pub live_pid: i32,
    /// How many snapshots lie under it.
    pub depth: u32,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotInfo>,
}

/// One snapshot of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// `#1`, `#2`, ...
    pub id: u32,
    /// What the user called it.
    pub label: Option<String>,
    /// How it was asked for.
    pub trigger: Trigger,
    /// The frozen copy.
    pub frozen_pid: i32,
    /// How long ago it was taken.
    pub taken_us_ago: u64,
    /// What taking it cost.
    pub latency_us: u64,
    /// Threads in it.
    pub threads: u32,
    /// Resident memory of the program when it was taken.
    pub rss_bytes: u64,
}

/// Where sessions of this user put their sockets:
/// `$XDG_RUNTIME_DIR/cargo-snapshot`, else `cargo-snapshot-<uid>` in the temp directory.
pub fn socket_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_absolute() => {
            PathBuf::from(runtime).join("cargo-snapshot")
        }
        _ => std::env::temp_dir().join(format!("cargo-snapshot-{}", geteuid())),
    }
}

/// Makes the socket directory, or checks the one that is there: ours, 0700, no link.
///
/// # Errors
/// Whatever the file system says; `PermissionDenied` where somebody else could enter.
pub(crate) fn prepare_directory(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    check_directory(directory)
}

fn check_directory(directory: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(directory)?;
    let safe = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    if safe {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} is not a directory that only you can enter",
                directory.display()
            ),
        ))
    }
}

/// Removes a session's socket, and the directory if it was the last one.
pub(crate) fn remove_socket(path: &Path) {
    let _ = fs::remove_file(path);
    if let Some(directory) = path.parent() {
        // Fails where another session's socket is in it, which is meant to.
        let _ = fs::remove_dir(directory);
    }
}

/// The socket of one launcher.
pub fn socket_path(launcher_pid: i32) -> PathBuf {
    socket_directory().join(format!("{launcher_pid}.sock"))
}

/// What a look for sessions has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The sessions that said who they are.
    pub answering: Vec<Listing>,
    /// The launchers that are there and say nothing: stopped by Ctrl+Z, for instance.
    pub silent: Vec<i32>,
}

/// The sessions of this user, each asked who it is. A socket that nobody listens on any
/// more is left out.
///
/// # Errors
/// When the directory is there but not safe, or can't be read.
pub fn sessions() -> Result<Found, Problem> {
    look_for_sessions().map_err(|error| {
        Problem::new(exit::REFUSED, "cannot look for sessions")
            .cause(error)
            .help(format!(
                "look at the owner and the mode of {}",
                socket_directory().display()
            ))
    })
}

fn look_for_sessions() -> io::Result<Found> {
    let directory = socket_directory();
    match check_directory(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(error) => return Err(error),
    }
    let mut found = Found::default();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".sock")?.parse().ok());
        let Some(pid) = pid else { continue };
        match ask(&path, &Request::List) {
            Ok(Answer::List(listing)) => found.answering.push(listing),
            // It ended between the look and the question, or was killed long ago.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::UnexpectedEof
                ) => {}
            Ok(_) | Err(_) => found.silent.push(pid),
        }
    }
    found.answering.sort_by_key(|listing| listing.launcher_pid);
    found.silent.sort_unstable();
    Ok(found)
}

/// Asks one session and waits for its answer.
///
/// # Errors
/// When nobody listens, the listener is another user, or the answer is no answer;
/// `WouldBlock` when none came in time: what was asked for may still happen.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    if !peer_is_friend(&stream)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the socket belongs to another user",
        ));
    }
    // Listing answers at once; the others wait for the program.
    let patience = if matches!(request, Request::List) {
        5
    } else {
        120
    };
    stream.set_read_timeout(Some(Duration::from_secs(patience)))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the session ended before it answered",
        ));
    }
    Ok(serde_json::from_str(&answer)?)
}

/// Whether the other end is the same user, or root.
pub(crate) fn peer_is_friend(stream: &UnixStream) -> io::Result<bool> {
    let peer = getsockopt(stream, PeerCredentials)?;
    Ok(peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}
