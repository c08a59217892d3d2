//! Finishes a revert that was cut, from its plan. It runs in a new process: it finds again what
//! the journal held by descriptors.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use snapshot_core::terms::SnapshotId;

use super::outcome::Outcome;
use super::plan::{self, Plan};
use super::run::resume;
use super::stage::Stage;
use super::trail::Trail;
use super::way::Way;
use super::whereabouts::{At, UNSEEN, Whereabouts};
use crate::journal::records::{Level, Name, Object, Was};
use crate::journal::stat::{FileId, Stat};
use crate::journal::store::Stores;
use crate::journal::sys;

/// Finishes the revert that has its plan in the store `dir`, and removes its stores.
///
/// # Errors
/// If there is no plan, or the session that wrote it is alive. Nothing is changed then.
pub(crate) fn recover(dir: &Path) -> io::Result<Outcome> {
    let mut plan = plan::read(sys::pin_directory(dir)?.as_fd())?;
    let mut stores = Stores::new("", Vec::new());
    let mut devices = HashMap::new();
    let mut ids = HashMap::new();
    for planned in &plan.stores {
        let id = stores.reopen(Path::new(planned.path.as_os()))?;
        devices.insert(planned.dev, stores.get(id).stat().id.dev);
        ids.insert(planned.id, id);
    }
    stores.skip_numbers(plan.last_number);
    renumber(&mut plan, &devices);
    let mut level = Level::new(SnapshotId::new(plan.snapshot));
    for &(shelf, store) in &plan.shelves {
        let store = ids.get(&store).ok_or(io::ErrorKind::InvalidData)?;
        level.shelves.push(stores.open_shelf(shelf, *store)?);
    }
    level.objects = plan
        .objects
        .into_iter()
        .map(|object| (object.id, object))
        .collect();
    forget_what_left_its_shelf(&mut level);
    let stage = Stage::look(&mut stores);
    let mut outcome = Outcome::default();
    let trail = Trail::of_plan(plan.whereabouts.clone(), plan.opened);
    let mut finder = Finder::new(&level, &stores, &stage, &plan.whereabouts, Way { trail });
    let pins = finder.find_all(&mut outcome);
    let way = finder.way;
    for (id, pin) in pins {
        if let Some(object) = level.objects.get_mut(&id) {
            object.pin = Some(pin);
        }
    }
    let mut outcome = resume(level, &mut stores, way, outcome);
    for path in stores.end() {
        let why = io::Error::other("something in it may still be wanted");
        outcome.problem(path, "remove the journal's directory", why);
    }
    Ok(outcome)
}

/// What has come back already is found where it belongs.
fn forget_what_left_its_shelf(level: &mut Level) {
    let Level {
        objects, shelves, ..
    } = level;
    for object in objects.values_mut() {
        let Some(place) = object.trash else { continue };
        let shelf = shelves.iter().find(|shelf| shelf.id() == place.shelf);
        let there = shelf.map(|shelf| Stat::of(shelf.dir(), OsStr::new(&place.name())));
        if !matches!(there, Some(Ok(Some(stat))) if object.is(&stat)) {
            object.trash = None;
        }
    }
}

/// Filesystems may have got other device numbers since.
fn renumber(plan: &mut Plan<Object>, devices: &HashMap<u64, u64>) {
    let renumber = |id: &mut FileId| id.dev = devices.get(&id.dev).copied().unwrap_or(id.dev);
    for object in &mut plan.objects {
        renumber(&mut object.id);
        for was in object.entries.values_mut() {
            if let Was::Present(id) = was {
                renumber(id);
            }
        }
    }
    for place in &mut plan.whereabouts {
        renumber(&mut place.id);
        if let At::In(dir, _) = &mut place.at {
            renumber(dir);
        }
    }
    for (id, _) in &mut plan.opened {
        renumber(id);
    }
}

/// Finds objects by all the places where they can be.
struct Finder<'a> {
    level: &'a Level,
    stores: &'a Stores,
    stage: &'a Stage,
    /// Directories and names: where each was, and where it was when the revert began.
    places: HashMap<FileId, Vec<(FileId, &'a Name)>>,
    /// One for each plan: its number may have changed between them.
    roots: HashSet<FileId>,
    /// Objects that had no name.
    nameless: HashSet<FileId>,
    found: HashMap<FileId, OwnedFd>,
    way: Way,
    /// Those that are looked for right now: a place below itself is none.
    under_way: HashSet<FileId>,
}

impl<'a> Finder<'a> {
    fn new(
        level: &'a Level,
        stores: &'a Stores,
        stage: &'a Stage,
        whereabouts: &'a [Whereabouts],
        way: Way,
    ) -> Self {
        let mut places: HashMap<FileId, Vec<(FileId, &Name)>> = HashMap::new();
        let mut roots = HashSet::new();
        let mut nameless = HashSet::new();
        for place in whereabouts {
            match &place.at {
                At::In(dir, name) => places.entry(place.id).or_default().push((*dir, name)),
                At::Root => drop(roots.insert(place.id)),
                At::Nowhere => drop(nameless.insert(place.id)),
            }
        }
        for dir in level.objects.values() {
            for (name, was) in &dir.entries {
                if let Was::Present(id) = was {
                    places.entry(*id).or_default().push((dir.id, name));
                }
            }
        }
        Self {
            level,
            stores,
            stage,
            places,
            roots,
            nameless,
            found: HashMap::new(),
            way,
            under_way: HashSet::new(),
        }
    }

    /// All objects that something has to be done to.
    fn find_all(&mut self, outcome: &mut Outcome) -> HashMap<FileId, OwnedFd> {
        for object in self.level.objects.values() {
            // A file on a shelf is reached there, without a descriptor.
            if object.trash.is_some() && !object.is_directory() {
                continue;
            }
            let is_found = self.find(object.id).is_some();
            let is_needed = object.properties.is_some() || !object.entries.is_empty();
            let is_expected =
                is_needed && object.anew.is_none() && !self.nameless.contains(&object.id);
            if !is_found && is_expected {
                let names = self.places.get(&object.id).into_iter().flatten();
                let name = names
                    .map(|(_, name)| name.as_os())
                    .next()
                    .unwrap_or_default();
                let gone = io::ErrorKind::NotFound.into();
                outcome.problem(PathBuf::from(name), "find it", gone);
            }
        }
        // What isn't found has been thrown away.
        for id in self.way.trail.missing() {
            if let Some(dir) = self.find(id).and_then(|dir| dir.try_clone_to_owned().ok()) {
                self.way.trail.hold(id, dir);
            }
        }
        std::mem::take(&mut self.found)
    }

    fn find(&mut self, id: FileId) -> Option<BorrowedFd<'_>> {
        if !self.found.contains_key(&id) {
            if !self.under_way.insert(id) {
                return None;
            }
            let found = self.look(id);
            self.under_way.remove(&id);
            self.found.insert(id, found?);
        }
        self.found.get(&id).map(AsFd::as_fd)
    }

    fn look(&mut self, id: FileId) -> Option<OwnedFd> {
        if self.roots.contains(&id) {
            return sys::pin_directory(Path::new("/")).ok();
        }
        if let Some(staged) = self.stage.peek(id) {
            let found = self.look_at(id, self.stores.get(staged.store).stage(), &staged.name);
            if found.is_some() {
                return found;
            }
        }
        let trash = self.level.objects.get(&id).and_then(|object| object.trash);
        if let Some(place) = trash {
            let shelf = self
                .level
                .shelves
                .iter()
                .find(|shelf| shelf.id() == place.shelf)?;
            let found = self.look_at(id, shelf.dir(), OsStr::new(&place.name()));
            if found.is_some() {
                return found;
            }
        }
        let places = self.places.get(&id)?.clone();
        places.into_iter().find_map(|(dir, name)| {
            let dir = self.find(dir)?.try_clone_to_owned().ok()?;
            self.look_at(id, dir.as_fd(), name.as_os())
        })
    }

    fn look_at(&mut self, id: FileId, dir: BorrowedFd<'_>, name: &OsStr) -> Option<OwnedFd> {
        if name.as_bytes().is_empty() {
            return None;
        }
        let pin = match sys::pin(dir, name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // The branch has closed this directory to its owner; a revert opens it anyway.
                self.way.open(dir, self.level, self.stores).ok()?;
                sys::pin(dir, name).ok()?
            }
            other => other.ok()?,
        };
        let stat = Stat::of_fd(pin.as_fd()).ok()?;
        let is_it = match self.level.objects.get(&id) {
            Some(object) => object.is(&stat),
            // A directory on the way: its filesystem's number may have changed.
            None => id.dev == UNSEEN || stat.id.ino == id.ino,
        };
        is_it.then_some(pin)
    }
}
