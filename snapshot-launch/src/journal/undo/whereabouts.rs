//! Where each object is when a revert begins: in which directory, under which name. Whoever
//! finishes a revert that was cut has no descriptors, and finds the objects by this.
//!
//! Directories move during a revert. So an object's place is given relative to its directory,
//! and that one's to the next.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::records::{Name, Object};
use crate::journal::stat::{FileId, Stat};
use crate::journal::sys;

/// One object's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    pub(super) id: FileId,
    /// `None` for the root directory.
    pub(super) within: Option<(FileId, Name)>,
}

/// Those of all objects that are held, and of the directories above them.
pub(super) fn collect<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<Whereabouts> {
    let mut collected = Vec::new();
    let mut above = HashMap::new();
    for object in objects {
        let Some(pin) = object.pin() else { continue };
        let path = sys::path_of(pin);
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            if let Some(parent) = directory(parent, &mut above, &mut collected) {
                collected.push(Whereabouts {
                    id: object.id,
                    within: Some((parent, name.into())),
                });
            }
        }
    }
    collected
}

/// The directory with this path, written down with all above it.
fn directory(
    path: &Path,
    known: &mut HashMap<PathBuf, Option<FileId>>,
    collected: &mut Vec<Whereabouts>,
) -> Option<FileId> {
    if let Some(known) = known.get(path) {
        return *known;
    }
    let id = sys::pin_directory(path)
        .and_then(|dir| Stat::of_fd(dir.as_fd()))
        .map(|stat| stat.id);
    let id = id.ok();
    known.insert(path.to_owned(), id);
    let id = id?;
    let within = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Some((directory(parent, known, collected)?, name.into())),
        _ => None,
    };
    collected.push(Whereabouts { id, within });
    Some(id)
}
