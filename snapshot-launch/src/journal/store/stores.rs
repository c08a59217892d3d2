//! All stores of a session: which one serves a directory, and their end.
//!
//! A link and a rename stay inside one mount, so each mount that the program changes something
//! in needs a store. Some filesystems draw more such borders (subvolumes): they show as another
//! device number.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::dead::note_other;
use super::place::{LEFT, PREFIX, Store, StoreId};
use super::shelf::{Shelf, ShelfId};
use super::sweep;
use crate::journal::closed;
use crate::journal::stat::{FileId, Stat};
use crate::journal::sys;

/// The part of the system in which links and renames work.
type Realm = (u64, u64);

fn realm(dir: &Stat) -> Realm {
    (dir.mount, dir.id.dev)
}

/// The directories where a store is made by preference: the user's cache if there is one, and the
/// directories for temporary files. None of them is made for that.
pub(crate) fn usual_candidates() -> Vec<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache
        .into_iter()
        .chain(["/var/tmp".into(), "/tmp".into()])
        .collect()
}

/// The stores of a session.
#[derive(Debug)]
pub(crate) struct Stores {
    name: OsString,
    candidates: Vec<PathBuf>,
    list: BTreeMap<StoreId, Store>,
    /// How many were ever opened.
    opened: usize,
    /// `None` where no directory was found for one.
    of: HashMap<Realm, Option<StoreId>>,
    /// The journal's own directories.
    own: HashSet<FileId>,
    /// Every name in a store is a number that was not used before.
    last_number: u64,
    /// Stores in which something must not be removed.
    kept: HashSet<StoreId>,
}

impl Stores {
    /// None yet. `tag` sets this session's apart from others'.
    pub(crate) fn new(tag: &str, candidates: Vec<PathBuf>) -> Self {
        Self {
            name: format!("{PREFIX}{tag}").into(),
            candidates,
            list: BTreeMap::new(),
            opened: 0,
            of: HashMap::new(),
            own: HashSet::new(),
            last_number: 0,
            kept: HashSet::new(),
        }
    }

    /// The store for what is in `dir`. `None` where the user may make no directory.
    pub(crate) fn for_directory(&mut self, dir: BorrowedFd<'_>, stat: &Stat) -> Option<StoreId> {
        if let Some(known) = self.of.get(&realm(stat)) {
            return *known;
        }
        match self.find(dir, stat) {
            Ok(found) => {
                self.of.insert(realm(stat), Some(found));
                Some(found)
            }
            Err(error) => {
                // Room may be made.
                if error.raw_os_error() != Some(nix::libc::ENOSPC) {
                    self.of.insert(realm(stat), None);
                }
                None
            }
        }
    }

    /// A store for a pre-image of what `pin` holds: on its filesystem, or else anywhere.
    pub(crate) fn for_content(&mut self, pin: BorrowedFd<'_>, stat: &Stat) -> Option<StoreId> {
        if let Some(Some(known)) = self.of.get(&realm(stat)) {
            return Some(*known);
        }
        let path = sys::path_of(pin);
        let beside = path.parent().and_then(|parent| {
            let dir = sys::pin_directory(parent).ok()?;
            let stat = Stat::of_fd(dir.as_fd()).ok()?;
            self.for_directory(dir.as_fd(), &stat)
        });
        beside.or_else(|| self.anywhere())
    }

    pub(crate) fn anywhere(&mut self) -> Option<StoreId> {
        if let Some((first, _)) = self.list.first_key_value() {
            return Some(*first);
        }
        self.candidates.clone().iter().find_map(|candidate| {
            let dir = open_candidate(candidate).ok()?;
            let stat = Stat::of_fd(dir.as_fd()).ok()?;
            self.for_directory(dir.as_fd(), &stat)
        })
    }

    fn find(&mut self, dir: BorrowedFd<'_>, stat: &Stat) -> io::Result<StoreId> {
        let usual = self
            .candidates
            .iter()
            .filter_map(|candidate| open_candidate(candidate).ok());
        let near: Vec<OwnedFd> = usual
            .filter(|found| {
                Stat::of_fd(found.as_fd()).is_ok_and(|found| realm(&found) == realm(stat))
            })
            .collect();
        let mut above = ancestors(dir, stat).unwrap_or_default();
        above.reverse();
        let mut refused = nix::errno::Errno::ENOENT.into();
        for parent in near.into_iter().chain(above) {
            match self.claim(parent.as_fd()) {
                Err(error) => refused = error,
                found => return found,
            }
        }
        Err(refused)
    }

    fn claim(&mut self, parent: BorrowedFd<'_>) -> io::Result<StoreId> {
        let there = Stat::of(parent, &self.name)?;
        let second_way = there.is_some_and(|there| self.own.contains(&there.id));
        let store = Store::claim(parent, &self.name, second_way)?;
        if let Some(first) = self.list.values().next() {
            store.belongs_to(first.path())?;
        }
        self.add(store)
    }

    /// Opens a store that a session has left.
    ///
    /// # Errors
    /// If it can't be opened, or is in use.
    pub(crate) fn reopen(&mut self, path: &Path) -> io::Result<StoreId> {
        let parent = sys::pin_directory(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or_default();
        let root = sys::pin(parent.as_fd(), name)?;
        let second_way = self.own.contains(&Stat::of_fd(root.as_fd())?.id);
        let store = Store::open(path, root, second_way)?;
        let realm = realm(store.stat());
        // Whoever wrote there last has used numbers for what it threw away.
        let numbers = sweep::names(store.garbage())
            .into_iter()
            .filter_map(|name| name.to_str()?.parse().ok());
        self.skip_numbers(numbers.max().unwrap_or(0));
        let id = self.add(store)?;
        self.of.insert(realm, Some(id));
        Ok(id)
    }

    /// Those from the number `known` on, and how many there ever were.
    pub(crate) fn after(&self, known: usize) -> (Vec<PathBuf>, usize) {
        let newer = self.list.iter().filter(|(id, _)| id.0 >= known);
        let paths = newer.map(|(_, store)| store.path().to_owned()).collect();
        (paths, self.opened)
    }

    fn add(&mut self, store: Store) -> io::Result<StoreId> {
        if let Some(first) = self.list.values().next() {
            note_other(first, store.path())?;
        }
        for dir in [store.root(), store.stage(), store.garbage()] {
            self.own.insert(Stat::of_fd(dir)?.id);
        }
        let id = StoreId(self.opened);
        self.opened += 1;
        self.list.insert(id, store);
        Ok(id)
    }

    /// A new shelf.
    ///
    /// # Errors
    /// If its directory can't be made.
    pub(crate) fn new_shelf(&mut self, store: StoreId) -> io::Result<Shelf> {
        let id = ShelfId(self.next_number());
        self.open_shelf(id, store)
    }

    /// A shelf by its number.
    ///
    /// # Errors
    /// If its directory can't be opened.
    pub(crate) fn open_shelf(&mut self, id: ShelfId, store: StoreId) -> io::Result<Shelf> {
        let shelf = Shelf::open(id, store, self.get(store).root())?;
        self.own.insert(Stat::of_fd(shelf.dir())?.id);
        Ok(shelf)
    }

    /// Throws a shelf away with all that is on it.
    pub(crate) fn discard_shelf(&mut self, shelf: &Shelf) {
        let number = self.next_number();
        let store = self.get(shelf.store());
        // On failure it stays where it is, until the store goes.
        let _ = store.discard(store.root(), OsStr::new(&shelf.id().name()), number);
    }

    /// Puts a shelf away where nothing is removed: what is on it could not be brought back.
    pub(crate) fn leave_shelf(&mut self, shelf: &Shelf) -> io::Result<PathBuf> {
        let name = shelf.id().name();
        self.kept.insert(shelf.store());
        let store = self.get(shelf.store());
        let left = store.left()?;
        sys::move_to(
            store.root(),
            OsStr::new(&name),
            left.as_fd(),
            OsStr::new(&name),
        )?;
        Ok(store.path().join(LEFT).join(name))
    }

    /// The same for something on the stage.
    pub(crate) fn leave_staged(&mut self, id: StoreId, name: &OsStr) -> io::Result<PathBuf> {
        let number = self.next_number().to_string();
        self.kept.insert(id);
        let store = self.get(id);
        let left = store.left()?;
        closed::move_to(store.stage(), name, left.as_fd(), OsStr::new(&number))?;
        Ok(store.path().join(LEFT).join(number))
    }

    pub(crate) fn get(&self, id: StoreId) -> &Store {
        &self.list[&id]
    }

    pub(crate) fn get_mut(&mut self, id: StoreId) -> &mut Store {
        self.list.get_mut(&id).expect("its shelves go before it")
    }

    /// All of them, in the order in which they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (StoreId, &Store)> {
        self.list.iter().map(|(id, store)| (*id, store))
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Numbers up to this are in use.
    pub(crate) fn skip_numbers(&mut self, last: u64) {
        self.last_number = self.last_number.max(last);
    }

    pub(crate) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Removes up to `budget` things from the garbage. Returns whether there is more.
    pub(crate) fn sweep_some(&self, budget: usize) -> bool {
        let mut budget = budget;
        self.list
            .values()
            .any(|store| !sweep::empty(store.garbage(), store.stat(), &mut budget))
    }

    /// Removes the stores, but for those in which something must not be lost. Returns the paths
    /// of what stays.
    pub(crate) fn end(self) -> Vec<PathBuf> {
        let mut stay = Vec::new();
        for (id, store) in &self.list {
            if !end_store(store, self.kept.contains(id)) {
                stay.push(store.path().to_owned());
            }
        }
        stay
    }

    /// Whether a store is reached through this mount.
    pub(crate) fn is_on_mount(&self, id: StoreId, mount: u64) -> bool {
        self.get(id).stat().mount == mount
    }

    /// Removes the stores on a mount that somebody wants to unmount, and lets go of it. Nothing
    /// may be kept there any more.
    pub(crate) fn let_go(&mut self, mount: u64) {
        let (go, stay): (BTreeMap<_, _>, _) = std::mem::take(&mut self.list)
            .into_iter()
            .partition(|(_, store)| store.stat().mount == mount);
        self.list = stay;
        for (id, store) in go {
            // What stays is found by whoever mounts it again.
            end_store(&store, self.kept.contains(&id));
        }
        self.of.retain(|(of, _), _| *of != mount);
    }
}

/// Whether nothing is left of it.
fn end_store(store: &Store, is_kept: bool) -> bool {
    sweep::empty_store(store, is_kept) && !is_kept && store.remove().is_ok()
}

/// Opens one of the usual directories; the user's own one is made.
fn open_candidate(path: &Path) -> io::Result<OwnedFd> {
    if path.ends_with("cargo-snapshot") {
        std::fs::create_dir_all(path)?;
    }
    sys::pin_directory(path)
}

/// `dir` and the directories above it in the same realm, upwards.
fn ancestors(dir: BorrowedFd<'_>, stat: &Stat) -> io::Result<Vec<OwnedFd>> {
    let mut found = vec![dir.try_clone_to_owned()?];
    let mut last = stat.id;
    while let Some(dir) = found.last() {
        let Ok(parent) = sys::pin(dir.as_fd(), OsStr::new("..")) else {
            break;
        };
        let parent_stat = Stat::of_fd(parent.as_fd())?;
        if realm(&parent_stat) != realm(stat) || parent_stat.id == last {
            break;
        }
        last = parent_stat.id;
        found.push(parent);
    }
    Ok(found)
}
