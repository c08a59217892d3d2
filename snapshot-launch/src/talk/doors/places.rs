//! Where sessions put their sockets, and how second terminals find them there.
//!
//! The first suitable directory is used: `$XDG_RUNTIME_DIR/cargo-snapshot`, then
//! `cargo-snapshot-UID` in the temp directory and in `/tmp`. If another user has made the
//! latter first, it is `cargo-snapshot-UID-XXXXXX`. Second terminals look into all of them. A
//! directory is skipped unless it is the user's own and no other user may enter it.
//!
//! Context: TOOL, in launcher, supervisor and second terminal.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::libc;
use nix::unistd::{geteuid, mkdtemp};

use super::directory::{Directory, LOCK, Place, knock, maker_of, number_of};

/// How often to start again if a directory vanishes meanwhile: another session removes it as it
/// ends.
const TRIES: usize = 100;

/// A directory for sessions.
#[derive(Debug)]
enum Candidate {
    /// The one with the fixed name.
    Known(PathBuf),
    /// A new one in this directory, with a name that no other user can have taken.
    Fresh(PathBuf),
}

/// The directories with a fixed name, for a person.
pub(crate) fn directories() -> Vec<PathBuf> {
    let known = |candidate| match candidate {
        Candidate::Known(path) => Some(path),
        Candidate::Fresh(_) => None,
    };
    candidates().into_iter().filter_map(known).collect()
}

fn candidates() -> Vec<Candidate> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|path| path.is_absolute());
    let first = runtime.map(|path| Candidate::Known(path.join("cargo-snapshot")));
    let further = roots().into_iter().flat_map(|root| {
        let known = Candidate::Known(root.join(name()));
        [known, Candidate::Fresh(root)]
    });
    first.into_iter().chain(further).collect()
}

/// The directories for temporary files: the user's choice, and `/tmp`.
fn roots() -> Vec<PathBuf> {
    let mut roots = vec![std::env::temp_dir(), PathBuf::from("/tmp")];
    roots.retain(|root| root.is_absolute());
    roots.dedup();
    roots
}

fn name() -> String {
    format!("cargo-snapshot-{}", geteuid())
}

/// This user's existing directories.
fn present() -> Vec<Directory> {
    let paths = candidates()
        .into_iter()
        .flat_map(|candidate| match candidate {
            Candidate::Known(path) => vec![path],
            Candidate::Fresh(root) => fresh_in(&root),
        });
    paths
        .filter_map(|path| Directory::open(&path).ok())
        .collect()
}

/// This user's directories in here with a new name, since another user has the fixed one.
fn fresh_in(root: &Path) -> Vec<PathBuf> {
    let prefix = name() + "-";
    let is_one = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(&prefix));
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_one(&entry.file_name()))
        .map(|entry| entry.path())
        .collect();
    found.sort_unstable();
    found
}

/// Makes a launcher's socket, in the first suitable directory.
///
/// # Errors
/// If none is suitable: why the best one isn't.
pub(crate) fn open(pid: i32) -> io::Result<(UnixListener, Place)> {
    let mut why = None;
    for candidate in candidates() {
        let made = match &candidate {
            Candidate::Known(path) => open_in(path, pid),
            Candidate::Fresh(root) => open_fresh_in(root, pid),
        };
        match made {
            Ok(made) => return Ok(made),
            Err(error) => {
                let (Candidate::Known(path) | Candidate::Fresh(path)) = candidate;
                why.get_or_insert_with(|| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                });
            }
        }
    }
    Err(why.unwrap_or(io::Error::from_raw_os_error(libc::ENOENT)))
}

fn open_fresh_in(root: &Path, pid: i32) -> io::Result<(UnixListener, Place)> {
    for path in fresh_in(root) {
        // It may belong to another user.
        if let Ok(made) = open_in(&path, pid) {
            return Ok(made);
        }
    }
    let path = mkdtemp(&root.join(name() + "-XXXXXX"))?;
    let made = open_in(&path, pid);
    if made.is_err() {
        fs::remove_dir(&path)?;
    }
    made
}

fn open_in(path: &Path, pid: i32) -> io::Result<(UnixListener, Place)> {
    let mut tries = 0;
    loop {
        let directory = Directory::make(path)?;
        directory.sweep(None);
        match directory.bind(pid) {
            // Another session that ends may have removed the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

/// Removes the socket of a launcher that ended before it could report the socket's place.
pub(crate) fn sweep_for(pid: i32) {
    let until = Instant::now() + LOCK;
    let is_there = |directory: &Directory| {
        let names = directory.names();
        let is_its = |name: &String| number_of(name).or(maker_of(name)) == Some(pid);
        names.iter().any(is_its)
    };
    for directory in present() {
        // The launcher is ending, and may not have closed the socket yet.
        while is_there(&directory) && Instant::now() < until {
            directory.sweep(Some(pid));
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_dir(&directory.path);
    }
}

/// A socket of this user's, of a present or past session.
#[derive(Debug, Clone)]
pub struct Door {
    directory: Rc<Directory>,
    name: String,
    /// The number of its launcher.
    pub(crate) pid: i32,
}

impl Door {
    /// Connects to the session.
    ///
    /// # Errors
    /// If nobody listens; `WouldBlock` if the listener does not answer in time.
    pub(crate) fn knock(&self, patience: Duration) -> io::Result<UnixStream> {
        knock(&self.directory.path_of(&self.name), patience)
    }
}

/// All sockets of this user's sessions.
pub(crate) fn all() -> Vec<Door> {
    let mut doors = Vec::new();
    for directory in present() {
        directory.sweep(None);
        let directory = Rc::new(directory);
        let mut names = directory.names();
        names.sort_unstable();
        doors.extend(names.into_iter().filter_map(|name| {
            Some(Door {
                pid: number_of(&name)?,
                directory: Rc::clone(&directory),
                name,
            })
        }));
    }
    doors
}
