//! A *level*: what a revert to one snapshot needs. It has the state of each thing before its
//! first change since the take, and not the changes themselves.
//!
//! Names are kept by directory: a directory's record has the names that were touched in it. So
//! they follow a directory that is renamed. What was born since the take needs no record: a
//! revert removes it by removing its name, which has one.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use snapshot_core::terms::SnapshotId;

use super::content::{self, Content, Want};
use super::name::Name;
use super::object::{Anew, Object, Was};
use super::properties::Properties;
use crate::journal::closed;
use crate::journal::coverage::{Coverage, Loss};
use crate::journal::stat::{FileId, Kind, Stat, Timestamp};
use crate::journal::store::{Place, Shelf, ShelfId, StoreId, Stores};
use crate::journal::sys;

/// What tells an object apart from a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Birth {
    time: Option<Timestamp>,
    /// [`sys::generation`]
    generation: Option<u64>,
}

/// The records since one take.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) id: SnapshotId,
    pub(crate) objects: HashMap<FileId, Object>,
    pub(crate) shelves: Vec<Shelf>,
    pub(super) born: HashMap<FileId, Birth>,
    /// Objects that the program has given a name, but for those that were born.
    /// A later object may have the number of one that is gone, so the time of birth counts too.
    pub(super) placed: HashSet<(FileId, Option<Timestamp>)>,
    /// Names under which the kernel may have put something by itself.
    pub(super) unsure: HashSet<(FileId, Name)>,
    /// The program has changed something that isn't known here.
    pub(super) is_blind: bool,
}

/// What is known of new objects and names.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) born: HashMap<FileId, Birth>,
    pub(super) placed: HashSet<(FileId, Option<Timestamp>)>,
    pub(super) unsure: HashSet<(FileId, Name)>,
}

impl Level {
    pub(crate) fn new(id: SnapshotId) -> Self {
        Self {
            id,
            objects: HashMap::new(),
            shelves: Vec::new(),
            born: HashMap::new(),
            placed: HashSet::new(),
            unsure: HashSet::new(),
            is_blind: false,
        }
    }

    /// `generation`: [`sys::generation`].
    pub(crate) fn born(&mut self, stat: &Stat, generation: Option<u64>) {
        let birth = Birth {
            time: stat.born,
            generation,
        };
        self.born.insert(stat.id, birth);
    }

    pub(crate) fn gone(&mut self, stat: &Stat) {
        self.born.remove(&stat.id);
    }

    /// Whether an object of this number was made since.
    pub(crate) fn has_born(&self, id: FileId) -> bool {
        self.born.contains_key(&id)
    }

    pub(crate) fn is_born(&self, stat: &Stat) -> bool {
        self.is_born_at(stat.id, stat.born)
    }

    pub(super) fn is_born_at(&self, id: FileId, time: Option<Timestamp>) -> bool {
        self.born.get(&id).is_some_and(|birth| birth.time == time)
    }

    /// The program gives this object a name.
    pub(crate) fn placed(&mut self, stat: &Stat) {
        if !self.is_born(stat) {
            self.placed_by_kernel(stat);
        }
    }

    /// The same by a call that nobody sees the end of.
    pub(crate) fn placed_by_kernel(&mut self, stat: &Stat) {
        self.placed.insert((stat.id, stat.born));
    }

    /// The kernel may put something under this name.
    pub(crate) fn is_unsure_of(&mut self, dir: &Stat, name: &OsStr) {
        self.unsure.insert((dir.id, Name::from(name)));
    }

    pub(crate) fn is_unsure(&self, dir: FileId, name: &OsStr) -> bool {
        !self.unsure.is_empty() && self.unsure.contains(&(dir, Name::from(name)))
    }

    /// What a revert to this level leaves standing, because others have a part in it, is unknown to
    /// the level below.
    pub(crate) fn known(&self) -> Known {
        Known {
            born: self.born.clone(),
            placed: self.placed.clone(),
            unsure: self.unsure.clone(),
        }
    }

    /// What another level has known.
    pub(crate) fn learn(&mut self, known: Known) {
        self.born.extend(known.born);
        self.placed.extend(known.placed);
        self.unsure.extend(known.unsure);
    }

    /// Nobody can tell the program's changes from others'.
    pub(crate) fn goes_blind(&mut self) {
        self.is_blind = true;
    }

    pub(crate) fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// Whether the program may have given the object under this name its name. It is like `stat`.
    pub(crate) fn knows(&self, dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> bool {
        let is_placed = || self.placed.contains(&(stat.id, stat.born));
        match self.born.get(&stat.id) {
            // One that was never named, or that the kernel has removed by itself, leaves its number to
            // others within the tick.
            Some(birth) if birth.time == stat.born && birth.generation.is_some() => {
                birth.generation == sys::generation(dir, name) || is_placed()
            }
            Some(birth) => birth.time == stat.born || is_placed(),
            None => is_placed(),
        }
    }

    /// Another file, which `pin` holds, gets the properties of this one and what is kept of its
    /// content.
    pub(crate) fn comes_back_as(&mut self, id: FileId, pin: OwnedFd, stat: &Stat) {
        let Some(object) = self.objects.get(&id) else {
            return;
        };
        let content = object.content.clone();
        let properties = object.properties.clone().or_else(|| {
            let of = object.pin()?;
            Properties::of(of, &Stat::of_fd(of).ok()?).ok()
        });
        let copy = self.object(stat);
        copy.pin = Some(pin);
        copy.content = content;
        copy.properties = properties;
    }

    /// Keeps what is under a name: `now`.
    ///
    /// # Errors
    /// If the kernel refuses to look, or the disk is full.
    pub(crate) fn touch_entry(
        &mut self,
        stores: &mut Stores,
        dir: BorrowedFd<'_>,
        dir_stat: &Stat,
        name: &OsStr,
        now: Option<&Stat>,
    ) -> io::Result<Coverage> {
        if self.is_born(dir_stat) {
            return Ok(Coverage::Covered);
        }
        let known = self.objects.get(&dir_stat.id);
        if known.is_some_and(|known| known.entries.contains_key(name)) {
            return Ok(Coverage::Covered);
        }
        if stores.for_directory(dir, dir_stat).is_none() {
            let why = "no directory on its filesystem where removed files could wait";
            return Ok(Loss::names(why).of(dir));
        }
        let kept = self.keep_properties(stores, dir, dir_stat)?;
        if kept != Coverage::Covered {
            return Ok(kept);
        }
        let mut coverage = Coverage::Covered;
        let was = match now.filter(|now| !self.is_born(now)) {
            None => Was::Absent,
            Some(now) => {
                coverage = self.keep_object(stores, dir, name, now)?;
                Was::Present(now.id)
            }
        };
        if let Some(dir) = self.objects.get_mut(&dir_stat.id) {
            dir.entries.insert(Name::from(name), was);
        }
        Ok(coverage)
    }

    /// Keeps the object under a name that may go to another place, so that it can be found there.
    fn keep_object(
        &mut self,
        stores: &mut Stores,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        let is_held = self.objects.get(&stat.id).is_some_and(Object::is_held);
        if is_held && (stat.kind != Kind::Directory || self.has_properties(stat.id)) {
            return Ok(Coverage::Covered);
        }
        let pin = match sys::pin(dir, name).and_then(sys::to_hold) {
            Ok(pin) => pin,
            Err(error) if is_out_of_descriptors(&error) && stat.kind != Kind::Directory => {
                return self.keep_link(stores, dir, name, stat);
            }
            Err(error) if is_out_of_descriptors(&error) => return Ok(Loss::names(error).of(dir)),
            Err(error) => return Err(error),
        };
        // A directory that moves may have to be made writable for a moment.
        if stat.kind == Kind::Directory {
            return self.keep_properties(stores, pin.as_fd(), stat);
        }
        self.object(stat).pin.get_or_insert(pin);
        Ok(Coverage::Covered)
    }

    /// Whether a revert puts this inode's properties back.
    pub(crate) fn has_properties(&self, id: FileId) -> bool {
        self.objects
            .get(&id)
            .is_some_and(|object| object.properties.is_some())
    }

    /// The record of an inode.
    pub(super) fn object(&mut self, stat: &Stat) -> &mut Object {
        self.objects
            .entry(stat.id)
            .or_insert_with(|| Object::new(stat))
    }

    /// Keeps mode, owner, times, extended attributes and flags.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) fn keep_properties(
        &mut self,
        stores: &mut Stores,
        pin: BorrowedFd<'_>,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        if self.is_born(stat) {
            return Ok(Coverage::Covered);
        }
        let known = self
            .objects
            .get_mut(&stat.id)
            .and_then(|object| object.properties.as_mut());
        if let Some(known) = known {
            if known.are_incomplete() {
                known.complete(pin, stat)?;
            }
            return Ok(Coverage::Covered);
        }
        let properties = Properties::of(pin, stat)?;
        if !self.objects.get(&stat.id).is_some_and(Object::is_held) {
            match pin.try_clone_to_owned().and_then(sys::to_hold) {
                Ok(pin) => self.object(stat).pin = Some(pin),
                Err(error) if is_out_of_descriptors(&error) => {
                    match self.link_pinned(stores, pin, stat) {
                        Ok(place) => self.object(stat).trash = Some(place),
                        Err(error) => return Ok(Loss::names(error).of(pin)),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.object(stat).properties = Some(properties);
        Ok(Coverage::Covered)
    }

    /// A link on a shelf, in the place of a pin.
    fn link_pinned(
        &mut self,
        stores: &mut Stores,
        pin: BorrowedFd<'_>,
        stat: &Stat,
    ) -> io::Result<Place> {
        if stat.kind == Kind::Directory {
            return Err(nix::errno::Errno::EMFILE.into());
        }
        let store = stores
            .for_content(pin, stat)
            .ok_or(nix::errno::Errno::EMFILE)?;
        let (place, shelf) = self.new_place(stores, store)?;
        sys::link_pinned(pin, shelf.dir(), OsStr::new(&place.name()))?;
        Ok(place)
    }

    /// A free name on this level's shelf in a store.
    fn new_place(&mut self, stores: &mut Stores, store: StoreId) -> io::Result<(Place, &Shelf)> {
        let number = stores.next_number();
        let shelf = self.shelf(stores, store)?;
        let place = Place {
            shelf: shelf.id(),
            number,
        };
        Ok((place, shelf))
    }

    pub(super) fn shelf(&mut self, stores: &mut Stores, store: StoreId) -> io::Result<&mut Shelf> {
        let known = self.shelves.iter().position(|shelf| shelf.store() == store);
        let index = match known {
            Some(index) => index,
            None => {
                self.shelves.push(stores.new_shelf(store)?);
                self.shelves.len() - 1
            }
        };
        Ok(&mut self.shelves[index])
    }

    /// Keeps a file's content, with its properties.
    ///
    /// # Errors
    /// If it can't be written: a full disk above all. Then nothing has changed.
    pub(crate) fn keep_content(
        &mut self,
        stores: &mut Stores,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        want: Want,
    ) -> io::Result<Coverage> {
        if stat.kind != Kind::File || self.is_born(stat) {
            return Ok(Coverage::Covered);
        }
        let known = self.objects.get(&stat.id).map(|object| &object.content);
        if !known.is_none_or(|content| content.is_less_than(want)) {
            return Ok(Coverage::Covered);
        }
        if let Some(Content::Blocks(_)) = known {
            return self.keep_range(stores, pin, stat, (0, u64::MAX), None);
        }
        // What was only appended to still begins with its old bytes.
        let size = match known {
            Some(Content::Size(size)) => *size,
            _ => stat.size,
        };
        let kept = self.keep_properties(stores, pin, stat)?;
        if kept != Coverage::Covered {
            return Ok(kept);
        }
        let (content, coverage) = match want {
            Want::Size => (Content::Size(size), Coverage::Covered),
            Want::All => match content::open(pin) {
                Ok(file) => {
                    let store = stores.for_content(pin, stat);
                    let store = store.ok_or(nix::errno::Errno::ENOSPC)?;
                    let shelf = self.shelf(stores, store)?;
                    match content::keep(&file, size, shelf, stores) {
                        // The journal's own limit is not the program's.
                        Err(error) if error.raw_os_error() == Some(nix::libc::EFBIG) => {
                            let why = error.to_string();
                            (Content::Lost { why }, Loss::content(&error).of(pin))
                        }
                        kept => (kept?, Coverage::Covered),
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    (Content::Lost { why }, Loss::content(&error).of(pin))
                }
            },
        };
        self.object(stat).content = content;
        Ok(coverage)
    }

    /// Before a name goes: a link on a shelf, so that the inode stays. Without room for that the
    /// name goes nevertheless: a program must be able to clean up on a full disk.
    ///
    /// # Errors
    /// If neither a link nor a copy can be made.
    pub(crate) fn keep_link(
        &mut self,
        stores: &mut Stores,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        if stat.kind == Kind::Directory || self.is_born(stat) {
            return Ok(Coverage::Covered);
        }
        let known = self.objects.get(&stat.id);
        if known.is_some_and(|known| known.trash.is_some() || known.anew.is_some()) {
            return Ok(Coverage::Covered);
        }
        let dir_stat = Stat::of_fd(dir)?;
        let refused = match stores.for_directory(dir, &dir_stat) {
            None => nix::errno::Errno::EXDEV.into(),
            Some(store) => match self.link_to_shelf(stores, store, dir, name) {
                Ok(place) => {
                    let object = self.object(stat);
                    object.trash = Some(place);
                    object.pin = None;
                    return Ok(Coverage::Covered);
                }
                Err(error) => error,
            },
        };
        let kept = match is_about_space(&refused) {
            true => Err(refused),
            false => self.keep_copy(stores, dir, name, stat, &refused),
        };
        match kept {
            Err(error) if is_about_space(&error) => {
                if let Some(object) = self.objects.get_mut(&stat.id).filter(|_| stat.nlink == 1) {
                    // It would take up its room until the pin is gone.
                    object.pin = None;
                }
                // It may seem to have been removed by others.
                self.goes_blind();
                Ok(Loss::existence(&error).under(dir, name))
            }
            kept => kept,
        }
    }

    fn link_to_shelf(
        &mut self,
        stores: &mut Stores,
        store: StoreId,
        dir: BorrowedFd<'_>,
        name: &OsStr,
    ) -> io::Result<Place> {
        let (place, shelf) = self.new_place(stores, store)?;
        sys::link(dir, name, shelf.dir(), OsStr::new(&place.name()))?;
        Ok(place)
    }

    /// What can be had where the filesystem gives no link.
    fn keep_copy(
        &mut self,
        stores: &mut Stores,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        refused: &io::Error,
    ) -> io::Result<Coverage> {
        let pin = sys::pin(dir, name)?;
        let anew = match stat.kind {
            Kind::File => {
                let kept = self.keep_content(stores, pin.as_fd(), stat, Want::All)?;
                if kept != Coverage::Covered {
                    return Ok(kept);
                }
                Anew::File
            }
            Kind::Symlink => Anew::Symlink(nix::fcntl::readlinkat(dir, name)?.into()),
            _ => Anew::Node {
                mode: stat.mode,
                rdev: stat.rdev,
            },
        };
        let kept = self.keep_properties(stores, pin.as_fd(), stat)?;
        if kept != Coverage::Covered {
            return Ok(kept);
        }
        self.object(stat).anew = Some(anew);
        Ok(Loss::identity(refused).of(pin.as_fd()))
    }

    /// Removes an empty directory, by moving it to a shelf.
    ///
    /// # Errors
    /// Those of `rmdir`.
    pub(crate) fn move_directory_away(
        &mut self,
        stores: &mut Stores,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        leaves: Leaves,
    ) -> io::Result<Coverage> {
        let pin = sys::pin(dir, name)?;
        let kept = self.keep_properties(stores, pin.as_fd(), stat)?;
        let dir_stat = Stat::of_fd(dir)?;
        let refused = match stores.for_directory(dir, &dir_stat) {
            None => nix::errno::Errno::EXDEV.into(),
            Some(store) => {
                require_empty(pin.as_fd(), stat)?;
                let moved = self.new_place(stores, store).and_then(|(place, shelf)| {
                    let (to, new) = (shelf.dir(), place.name());
                    let new = OsStr::new(&new);
                    let moved = closed::moving(dir, name, || match leaves {
                        Leaves::Nothing => sys::move_to(dir, name, to, new),
                        Leaves::Whiteout => sys::move_from_whiteout(dir, name, to, new),
                    });
                    moved.map(|()| place)
                });
                match moved {
                    Ok(place) => {
                        self.object(stat).trash = Some(place);
                        return Ok(kept);
                    }
                    Err(error) => error,
                }
            }
        };
        let may_go_for_good =
            refused.raw_os_error() == Some(nix::libc::EXDEV) || is_about_space(&refused);
        if leaves == Leaves::Whiteout || !may_go_for_good {
            return Err(refused);
        }
        sys::remove_directory(dir, name)?;
        Ok(self.comes_back_anew(pin.as_fd(), stat, &refused))
    }

    /// An empty directory with records is gone, because it could not be moved away.
    pub(crate) fn comes_back_anew(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        refused: &io::Error,
    ) -> Coverage {
        self.object(stat).anew = Some(Anew::Directory);
        Loss::identity(refused).of(pin)
    }

    /// A link on a shelf for each file that another process may not find by the name that its pin
    /// knows. Of several names, a revert may remove that one. Of a single name, it may be another:
    /// a descriptor keeps the name that it was opened by, even when that one is gone. No record
    /// needs to know the names that are left.
    pub(crate) fn secure_links(&mut self, stores: &mut Stores) {
        let is_unsafe = |object: &&Object| {
            let is_file = !object.is_directory() && object.trash.is_none();
            let pin = object.pin().filter(|_| is_file);
            pin.is_some_and(|pin| match Stat::of_fd(pin) {
                Ok(stat) if stat.nlink == 1 => sys::path_and_whether_gone(pin).1,
                Ok(stat) => stat.nlink > 1,
                Err(_) => false,
            })
        };
        let ids: Vec<FileId> = self
            .objects
            .values()
            .filter(is_unsafe)
            .map(|object| object.id)
            .collect();
        for id in ids {
            let Some(pin) = self.objects.get(&id).and_then(|object| object.pin.as_ref()) else {
                continue;
            };
            // Where no link can be made, only a revert that is cut can miss it.
            let linked = pin.try_clone().and_then(|pin| {
                let stat = Stat::of_fd(pin.as_fd())?;
                self.link_pinned(stores, pin.as_fd(), &stat)
            });
            if let (Ok(place), Some(object)) = (linked, self.objects.get_mut(&id)) {
                object.trash = Some(place);
            }
        }
    }

    /// Lets go of all that lies on a mount. Returns whether anything is lost by that.
    pub(crate) fn let_go(&mut self, mount: u64, stores: &mut Stores) -> bool {
        let (go, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.shelves)
            .into_iter()
            .partition(|shelf| stores.is_on_mount(shelf.store(), mount));
        self.shelves = stay;
        let is_gone = |id: ShelfId| go.iter().any(|shelf| shelf.id() == id);
        let before = self.objects.len();
        self.objects.retain(|_, object| match object.pin() {
            Some(pin) => !Stat::of_fd(pin).is_ok_and(|stat| stat.mount == mount),
            None => !object.trash.is_some_and(|place| is_gone(place.shelf)),
        });
        let mut is_loss = self.objects.len() < before;
        // Those of another filesystem, where no store could be made.
        for object in self.objects.values_mut() {
            if object.content.shelf().is_some_and(is_gone) {
                let why = "what was kept of it lay on a filesystem that was unmounted".to_owned();
                object.content = Content::Lost { why };
                is_loss = true;
            }
        }
        is_loss
    }

    /// The files that a revert of this level would bring back, each once: by inode, or by the
    /// name that was free.
    pub(crate) fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.objects.values().flat_map(|object| {
            let absent = object
                .entries
                .iter()
                .filter(|(_, was)| **was == Was::Absent);
            let is_one = !object.is_directory() || object.trash.is_some();
            absent
                .map(|(name, _)| File::Name(object.id, name))
                .chain(is_one.then_some(File::Inode(object.id)))
        })
    }

    /// The bytes that its pre-images take.
    pub(crate) fn bytes(&self) -> u64 {
        let objects = self.objects.values();
        objects.map(|object| object.content.cost()).sum()
    }
}

/// Something that a level would bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum File<'a> {
    Inode(FileId),
    Name(FileId, &'a Name),
}

/// What stays under the name of a directory that is moved away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Nothing,
    Whiteout,
}

fn require_empty(pin: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    let mut list = closed::in_open(pin, stat, || sys::list(pin))?;
    for entry in list.iter() {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Err(nix::errno::Errno::ENOTEMPTY.into());
        }
    }
    Ok(())
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EMFILE | nix::libc::ENFILE)
    )
}

fn is_about_space(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::ENOSPC | nix::libc::EDQUOT | nix::libc::EIO)
    )
}
