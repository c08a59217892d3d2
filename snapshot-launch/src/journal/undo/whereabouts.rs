//! Where each object is when a revert begins: in which directory, under which name. Whoever
//! finishes a revert that was cut has no descriptors, and finds the objects by this.
//!
//! Directories move during a revert. So an object's place is given relative to its directory,
//! and that one's to the next.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::records::Name;
use crate::journal::stat::{FileId, Stat};
use crate::journal::sys;

/// The device of a directory that can't be looked at now, because one above it is closed. Its
/// other number is made up from its path: a later plan of the same revert may have it too.
pub(super) const UNSEEN: u64 = u64::MAX;

/// One object's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    pub(super) id: FileId,
    pub(super) at: At,
}

/// In which directory, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum At {
    Root,
    In(FileId, Name),
    /// It has no name: only an open descriptor leads to it, and ends with its process.
    Nowhere,
}

/// What a pin holds.
pub(super) struct Held<'a> {
    pub(super) id: FileId,
    pub(super) is_directory: bool,
    pub(super) pin: BorrowedFd<'a>,
}

/// Those of all that is held, and of the directories above.
pub(super) fn collect<'a>(held: impl Iterator<Item = Held<'a>>) -> Vec<Whereabouts> {
    let held: Vec<(Held<'_>, PathBuf)> = held
        .map(|held| {
            let path = sys::path_of(held.pin);
            (held, path)
        })
        .collect();
    // Those that are held need no look by path. The branch may have closed the way there.
    let directories = held.iter().filter(|(held, _)| held.is_directory);
    let mut known: HashMap<PathBuf, FileId> = directories
        .map(|(held, path)| (path.clone(), held.id))
        .collect();
    let mut collected = Vec::new();
    for (held, path) in &held {
        let id = held.id;
        if Stat::of_fd(held.pin).is_ok_and(|stat| stat.nlink == 0) {
            let at = At::Nowhere;
            collected.push(Whereabouts { id, at });
            continue;
        }
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(parent) = directory(parent, &mut known, &mut collected)
        {
            let at = At::In(parent, name.into());
            collected.push(Whereabouts { id, at });
        }
    }
    collected
}

/// The directory with this path, written down with all above it.
fn directory(
    path: &Path,
    known: &mut HashMap<PathBuf, FileId>,
    collected: &mut Vec<Whereabouts>,
) -> Option<FileId> {
    if let Some(known) = known.get(path) {
        return Some(*known);
    }
    let found = sys::pin_directory(path).and_then(|dir| Stat::of_fd(dir.as_fd()));
    let id = match found {
        Ok(stat) => stat.id,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => FileId {
            dev: UNSEEN,
            ino: number_of(path),
        },
        Err(_) => return None,
    };
    known.insert(path.to_owned(), id);
    let at = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => At::In(directory(parent, known, collected)?, name.into()),
        _ => At::Root,
    };
    collected.push(Whereabouts { id, at });
    Some(id)
}

fn number_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
