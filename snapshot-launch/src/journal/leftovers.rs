//! What killed sessions have left: stores without a lock. A revert that was cut is finished from
//! its plan; without a plan there is nothing to bring back, and the store goes.
//!
//! Context: a journal at its start, and `cargo snapshot recover`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;
use serde::Serialize;

use super::stat::Stat;
use super::store::{PLAN, PREFIX, Stores, sweep_dead};
use super::sys;
use super::undo;
use crate::talk::problem::{Problem, exit};

/// What has become of one store.
#[derive(Debug, Serialize)]
pub struct Recovered {
    /// The store.
    pub path: PathBuf,
    /// What was done.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What was done with a store.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Fate {
    /// The revert is finished.
    Finished {
        /// How many names and files were put back.
        changed: u64,
        /// What could not be put back.
        problems: Vec<String>,
    },
    /// There was nothing to bring back.
    Removed,
    /// An earlier revert could not bring back all: that waits in `left` for a person.
    Kept,
}

/// Finishes what killed sessions have left in `dir`, or in the store `dir`.
///
/// # Errors
/// If one belongs to somebody else or to a session that lives, or can't be finished. What could
/// be finished is.
pub fn recover(dir: &Path) -> Result<Vec<Recovered>, Problem> {
    let cannot = |what: &Path, error: &io::Error| why_not(what, error);
    let dir = dir.canonicalize().map_err(|error| cannot(dir, &error))?;
    let stores = match is_store(&dir) {
        true => vec![dir],
        false => stores_in(&dir).map_err(|error| cannot(&dir, &error))?,
    };
    let mut recovered = Vec::new();
    let mut first = None;
    for path in stores {
        match settle(&path) {
            Ok(fate) => recovered.push(Recovered { path, fate }),
            // A revert takes all stores of its session along.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {}
            Err(error) => {
                first.get_or_insert(cannot(&path, &error));
            }
        }
    }
    match first {
        Some(problem) => Err(problem),
        None => Ok(recovered),
    }
}

/// Does the same for these stores and those in these directories, as far as nobody uses them and
/// they are this user's. Returns what a person should hear.
pub(super) fn tidy_up(stores: &[PathBuf], directories: &[PathBuf]) -> Vec<String> {
    let found = directories.iter().filter_map(|dir| stores_in(dir).ok());
    let all = stores.iter().cloned().chain(found.flatten());
    let mut news = Vec::new();
    for path in all {
        match settle(&path) {
            Ok(Fate::Finished { changed, problems }) => {
                news.push(format!(
                    "a revert of files that was cut by a kill is finished: {changed} changes taken back"
                ));
                let problems = problems.into_iter();
                news.extend(problems.map(|problem| format!("a file is not as it was: {problem}")));
            }
            Ok(Fate::Removed | Fate::Kept) => {}
            Err(error) if is_of_no_concern(&error) => {}
            Err(error) => news.push(format!(
                "a revert of files that was cut by a kill can't be finished: {}: {error}: see `cargo snapshot recover`",
                path.display()
            )),
        }
    }
    news
}

fn is_store(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

fn stores_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut stores: Vec<PathBuf> = paths.filter(|path| is_store(path)).collect();
    stores.sort();
    Ok(stores)
}

/// Finishes one store's revert, and removes the store.
fn settle(path: &Path) -> io::Result<Fate> {
    let mut stores = Stores::new("", Vec::new());
    // The lock is the proof that its session is dead.
    let id = stores.reopen(path)?;
    let store = stores.get(id);
    if has_plan(path)? {
        drop(stores);
        return finish(path);
    }
    // What is kept here may be wanted by a plan that lies in another store.
    match store.first() {
        Some(first) if !first.parent().is_some_and(Path::exists) => {
            return Err(io::Error::other(format!(
                "it belongs to {}, which is not there",
                first.display()
            )));
        }
        Some(first) if first.exists() && has_plan(&first)? => {
            drop(stores);
            return finish(&first);
        }
        _ => {}
    }
    drop(stores);
    sweep_dead(path);
    Ok(match path.exists() {
        true => Fate::Kept,
        false => Fate::Removed,
    })
}

fn has_plan(store: &Path) -> io::Result<bool> {
    let root = sys::pin_directory(store)?;
    Ok(Stat::of(root.as_fd(), OsStr::new(PLAN))?.is_some())
}

fn finish(store: &Path) -> io::Result<Fate> {
    let outcome = undo::recover(store)?;
    Ok(Fate::Finished {
        changed: outcome.restored.all(),
        problems: outcome.problems.iter().map(ToString::to_string).collect(),
    })
}

/// Somebody else's, or in use, or gone.
fn is_of_no_concern(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EEXIST | libc::EWOULDBLOCK | libc::ENOENT | libc::EACCES | libc::ENOTDIR)
    )
}

fn why_not(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(exit::REFUSED, format!("cannot recover {}", path.display()));
    match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => problem
            .cause("its session is alive, and uses it")
            .help("nothing is lost while it runs: `cargo snapshot sessions` shows it"),
        Some(libc::EEXIST) => problem
            .cause("it is no store of yours: another user has made it, or others may enter it")
            .help("whoever started the session can recover it, with the same command"),
        Some(libc::ENOENT) => problem
            .cause("there is no such directory")
            .help("stores lie at the top of a filesystem, in ~/.cache, /var/tmp or /tmp; one that has been finished is removed"),
        _ => problem
            .cause(error)
            .help("nothing was thrown away; run it again when that is mended"),
    }
}
