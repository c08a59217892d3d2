//! The *plan*: all that a revert has to do, in a file, written before its first step. A revert
//! that is cut by a kill is finished from it.
//!
//! It is written anew once directories are open that were closed, and before one is opened that has
//! no record. Whoever finishes a revert keeps in it what the former plan has said: he may not have
//! found all.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{OFlag, renameat};
use serde::{Deserialize, Serialize};

use super::stop::step;
use super::trail::Trail;
use super::whereabouts::{Held, UNSEEN, Whereabouts, collect};
use crate::journal::records::{Level, Name, Object};
use crate::journal::stat::FileId;
use crate::journal::store::{PLAN, ShelfId, StoreId, Stores};
use crate::journal::sys;

/// The plan, with its objects (to read) or with references to them (to write).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan<O> {
    version: u32,
    pub(super) snapshot: u32,
    pub(super) stores: Vec<PlannedStore>,
    pub(super) shelves: Vec<(ShelfId, StoreId)>,
    pub(super) objects: Vec<O>,
    pub(super) whereabouts: Vec<Whereabouts>,
    /// Directories without a record that are opened for the revert, and the modes that they have
    /// otherwise.
    #[serde(default)]
    pub(super) opened: Vec<(FileId, u32)>,
    /// Names in the stores are numbers up to this.
    pub(super) last_number: u64,
}

/// A store by its path. Its device may have another number after a restart of the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlannedStore {
    pub(super) id: StoreId,
    pub(super) path: Name,
    pub(super) dev: u64,
}

const VERSION: u32 = 2;
/// Its name until it is complete.
const INCOMPLETE: &str = "plan.new";

/// Writes the plan to revert a level, in the place of one that is there. Returns whether it knows
/// all directories on the way to its objects: some may be closed.
///
/// # Errors
/// If it can't be written.
pub(super) fn write(
    level: &Level,
    stores: &Stores,
    trail: &Trail,
    root: BorrowedFd<'_>,
) -> io::Result<bool> {
    let objects = level.objects.values().filter_map(|object| {
        Some(Held {
            id: object.id,
            is_directory: object.is_directory(),
            pin: object.pin()?,
        })
    });
    let mut whereabouts = collect(objects.chain(trail.held()));
    let is_complete = is_complete(&whereabouts);
    if !trail.earlier().is_empty() {
        let new: HashSet<&Whereabouts> = whereabouts.iter().collect();
        let earlier = trail.earlier().iter().filter(|place| !new.contains(place));
        let earlier: Vec<_> = earlier.cloned().collect();
        whereabouts.extend(earlier);
    }
    let plan = Plan {
        version: VERSION,
        snapshot: level.id.number(),
        stores: stores
            .iter()
            .map(|(id, store)| PlannedStore {
                id,
                path: Name::from(store.path().as_os_str()),
                dev: store.stat().id.dev,
            })
            .collect(),
        shelves: level
            .shelves
            .iter()
            .map(|shelf| (shelf.id(), shelf.store()))
            .collect(),
        objects: level.objects.values().collect(),
        whereabouts,
        opened: trail.modes().collect(),
        last_number: stores.last_number(),
    };
    step();
    let _ = sys::unlink(root, OsStr::new(INCOMPLETE));
    let mut file = BufWriter::new(sys::create(root, OsStr::new(INCOMPLETE))?);
    serde_json::to_writer::<_, Plan<&Object>>(&mut file, &plan)?;
    file.flush()?;
    step();
    renameat(root, INCOMPLETE, root, PLAN)?;
    Ok(is_complete)
}

/// Whether all directories on the way to something could be looked at.
pub(super) fn is_complete(whereabouts: &[Whereabouts]) -> bool {
    whereabouts.iter().all(|place| place.id.dev != UNSEEN)
}

/// Reads the plan in a store.
///
/// # Errors
/// If there is none, or another version has written it.
pub(super) fn read(root: BorrowedFd<'_>) -> io::Result<Plan<Object>> {
    let pin = sys::pin(root, OsStr::new(PLAN))?;
    let file: File = sys::reopen(pin.as_fd(), OFlag::O_RDONLY)?;
    let plan: Plan<Object> = serde_json::from_reader(BufReader::new(file))?;
    if plan.version != VERSION {
        let why = format!("it was written by another version ({})", plan.version);
        return Err(io::Error::other(why));
    }
    Ok(plan)
}

/// Removes it: the revert is complete.
pub(super) fn remove(root: BorrowedFd<'_>) -> io::Result<()> {
    step();
    sys::unlink(root, OsStr::new(PLAN))
}
