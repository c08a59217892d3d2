//! Where each object is when a revert begins: in which directory, under which name. Whoever
//! finishes a revert that was cut has no descriptors, and finds the objects by this.
//!
//! Directories move during a revert. So an object's place is given relative to its directory,
//! and that one's to the next.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::records::{Name, Object};
use crate::journal::stat::{FileId, Stat};
use crate::journal::sys;

/// The device of a directory that can't be looked at now, because one above it is closed. Its
/// other number is made up.
pub(super) const UNSEEN: u64 = u64::MAX;

/// One object's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    pub(super) id: FileId,
    pub(super) at: At,
}

/// In which directory, and under which name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum At {
    Root,
    In(FileId, Name),
    /// It has no name: only an open descriptor leads to it, and ends with its process.
    Nowhere,
}

/// Those of all objects that are held, and of the directories above them.
pub(super) fn collect<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<Whereabouts> {
    let held: Vec<(&Object, PathBuf)> = objects
        .filter_map(|object| Some((object, sys::path_of(object.pin()?))))
        .collect();
    // Those that are held need no look by path. The branch may have closed the way there.
    let directories = held.iter().filter(|(object, _)| object.is_directory());
    let mut known: HashMap<PathBuf, FileId> = directories
        .map(|(object, path)| (path.clone(), object.id))
        .collect();
    let mut collected = Vec::new();
    for (object, path) in &held {
        if object
            .pin()
            .is_some_and(|pin| Stat::of_fd(pin).is_ok_and(|stat| stat.nlink == 0))
        {
            collected.push(Whereabouts {
                id: object.id,
                at: At::Nowhere,
            });
            continue;
        }
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(parent) = directory(parent, &mut known, &mut collected)
        {
            collected.push(Whereabouts {
                id: object.id,
                at: At::In(parent, name.into()),
            });
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
            ino: known.len() as u64,
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
