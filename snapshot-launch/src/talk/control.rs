//! The control socket: how a second terminal finds sessions and talks to one.
//!
//! A request is one JSON line, an answer is one JSON line, and the connection ends. The socket
//! lies in a directory that only its owner may enter (`doors`), and both ends check each
//! other's user (SO_PEERCRED): other users but root are refused.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::talk::{
    doors::{self, Door},
    event::Event,
    facts::SnapshotFacts,
    file_changes::FileChanges,
};

/// A second terminal's request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Describe the session and its snapshots.
    List,
    /// Take a snapshot.
    Take {
        /// The snapshot's label.
        label: Option<String>,
    },
    /// Go on from a snapshot.
    Revert {
        /// Which; the newest if none is named.
        id: Option<u32>,
        /// Leave the snapshot there.
        keep: bool,
        /// Bring back files that others have changed, too.
        #[serde(default)]
        force: bool,
        /// Leave the newer snapshots there too, so that a later revert can go forward to them.
        /// Only where no files come back.
        #[serde(default)]
        ahead: bool,
    },
    /// Drop every snapshot.
    Commit,
    /// Forget one snapshot.
    Drop {
        /// Which.
        id: u32,
    },
    /// Say which files differ.
    Diff {
        /// The earlier moment; the newest snapshot if none is named.
        from: Option<u32>,
        /// The later one; live if none is named.
        to: Option<u32>,
        /// With the text of both.
        with_text: bool,
    },
}

/// The session's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "kebab-case")]
pub enum Answer {
    /// It is done; this is the event.
    Done(Event),
    /// The session and its timeline.
    List(Listing),
    /// What differs.
    Differs(FileChanges),
    /// It is refused; the program goes on untouched.
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
    /// Its facts.
    #[serde(flatten)]
    pub facts: SnapshotFacts,
    /// The frozen copy.
    pub frozen_pid: i32,
    /// How long ago it was taken.
    pub taken_us_ago: u64,
    /// How many files a revert to it would bring back; unknown while the journal is busy, or
    /// without one.
    pub files: Option<u64>,
    /// What is kept of files between it and the next snapshot.
    pub files_bytes: Option<u64>,
    /// It lies ahead: a revert has gone back behind it and left it there.
    #[serde(default)]
    pub ahead: bool,
}

/// The places that are searched for this user's sessions, for a person.
pub fn places() -> String {
    let all: Vec<String> = doors::directories()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    all.join(" or ")
}

/// A session that has described itself, and where it can be asked again.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its description.
    pub listing: Listing,
    door: Option<Door>,
}

impl Session {
    /// A session that can't be asked again.
    pub fn of(listing: Listing) -> Self {
        Self {
            listing,
            door: None,
        }
    }

    /// Sends it a request and waits for the answer.
    ///
    /// # Errors
    /// If it is gone, or its answer is invalid; `WouldBlock` if none came in time: then the
    /// request may still be carried out.
    pub fn ask(&self, request: &Request) -> io::Result<Answer> {
        match &self.door {
            Some(door) => ask(door, request),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The result of a search for sessions.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The sessions that have answered.
    pub answering: Vec<Session>,
    /// Launchers that don't answer: stopped by Ctrl+Z, for instance.
    pub silent: Vec<i32>,
}

/// This user's sessions, or this launcher's alone; each is asked to describe itself. Removes
/// sockets without a listener.
pub fn sessions(launcher: Option<i32>) -> Found {
    let mut found = Found::default();
    for door in doors::all() {
        if launcher.is_some_and(|pid| pid != door.pid) {
            continue;
        }
        match ask(&door, &Request::List) {
            Ok(Answer::List(listing)) => found.answering.push(Session {
                listing,
                door: Some(door),
            }),
            // It ended since it was found, or was killed long ago.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::UnexpectedEof
                ) => {}
            Ok(_) | Err(_) => found.silent.push(door.pid),
        }
    }
    found
        .answering
        .sort_by_key(|session| session.listing.launcher_pid);
    found.silent.sort_unstable();
    found
}

/// How long a session may take to accept a second terminal, and to describe itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take for requests that wait for the program.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

fn ask(door: &Door, request: &Request) -> io::Result<Answer> {
    let stream = door.knock(PATIENCE)?;
    if !peer_is_friend(&stream)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the socket belongs to another user",
        ));
    }
    let patience = match request {
        Request::List => PATIENCE,
        _ => LONG_PATIENCE,
    };
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    // It may have answered before it had read everything, and hung up.
    let sent = (&stream).write_all(&line);
    let mut answer = String::new();
    let read = BufReader::new(&stream).read_line(&mut answer);
    if answer.is_empty() {
        sent?;
        read?;
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
