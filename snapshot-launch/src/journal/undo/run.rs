//! Reverts one level. Each step looks before it acts, so that the whole can begin anew at any
//! point:
//!
//! 1. what has been locked since is unlocked;
//! 2. what isn't what it was goes to the stage, and so do old objects that lie somewhere else;
//! 3. what was there comes back: from the stage, from a shelf, by its pin, or made anew;
//! 4. the rest of the stage is new and becomes garbage;
//! 5. contents and properties are put back, those of directories last.
//!
//! If anything could not come back, nothing is thrown away: what is left is put aside and named.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{geteuid, symlinkat};

use super::outcome::Outcome;
use super::plan;
use super::stage::Stage;
use super::stop::step;
use super::way::Way;
use crate::journal::closed;
use crate::journal::records::{Anew, Level, Name, Object, Was};
use crate::journal::stat::{FileId, Stat};
use crate::journal::store::Stores;
use crate::journal::sys;

/// A name that doesn't lead to its old object.
#[derive(Debug)]
struct Lost {
    dir: FileId,
    name: Name,
    object: FileId,
}

/// Reverts a level, with a plan written first.
pub(crate) fn undo(mut level: Level, stores: &mut Stores) -> Outcome {
    let outcome = Outcome::default();
    level.secure_links(stores);
    let mut undo = Undo::new(level, stores, Way::default(), outcome);
    undo.knows_born = true;
    let knows_all = undo.write_plan();
    undo.unlock();
    // The way is open now. What moves to the stage must be known by more than its place.
    if !knows_all {
        undo.write_plan();
    }
    undo.run()
}

/// The same from a plan that exists.
pub(super) fn resume(level: Level, stores: &mut Stores, way: Way, outcome: Outcome) -> Outcome {
    let knew_all = plan::is_complete(way.trail.earlier());
    let mut undo = Undo::new(level, stores, way, outcome);
    undo.unlock();
    // As above: this process may be killed too.
    if !knew_all {
        undo.write_plan();
    }
    undo.run()
}

struct Undo<'a> {
    level: Level,
    /// Whether the level says what was made since.
    knows_born: bool,
    stores: &'a mut Stores,
    stage: Stage,
    way: Way,
    outcome: Outcome,
    /// Names under which something stands that could not be moved.
    in_the_way: HashSet<(FileId, Name)>,
    /// Inodes that need no more.
    restored: HashSet<FileId>,
    /// Whether something could not be brought back.
    is_anything_missing: bool,
}

impl<'a> Undo<'a> {
    fn new(level: Level, stores: &'a mut Stores, way: Way, outcome: Outcome) -> Self {
        Self {
            stage: Stage::look(stores),
            level,
            knows_born: false,
            stores,
            way,
            outcome,
            in_the_way: HashSet::new(),
            restored: HashSet::new(),
            is_anything_missing: false,
        }
    }

    /// All but the first step.
    fn run(mut self) -> Outcome {
        let lost = self.set_aside();
        self.fetch(&lost);
        self.bring_back(lost);
        self.clear_stage();
        self.restore(false);
        self.restore(true);
        self.finish()
    }

    /// Returns false if there is something that the plan should know, and that can't be seen.
    fn write_plan(&mut self) -> bool {
        let Some(store) = self.stores.anywhere() else {
            return true;
        };
        let store = self.stores.get(store);
        let written = plan::write(&self.level, self.stores, &self.way.trail, store.root());
        written.unwrap_or_else(|error| {
            // Nothing has happened yet. A full disk is no reason to leave the files as they are.
            self.outcome.problem(
                store.path().to_owned(),
                "write the plan (a kill now would leave files half-way)",
                error,
            );
            true
        })
    }

    /// A directory that an ordinary user has closed to himself, and flags that forbid changes.
    fn unlock(&mut self) {
        let euid = geteuid();
        for object in self.level.objects.values() {
            let Some(pin) = object.pin() else { continue };
            if !object.is_directory() && !euid.is_root() {
                continue;
            }
            let Ok(now) = Stat::of_fd(pin) else { continue };
            if let Err(failure) = object.unlock(pin, &now) {
                self.outcome
                    .problem(sys::path_of(pin), failure.what, failure.error);
            }
            if !euid.is_root() && closed::is_closed(&now) {
                step();
                if let Err(error) = closed::open(pin, &now) {
                    self.outcome
                        .problem(sys::path_of(pin), "open it for a moment", error);
                }
            }
        }
    }

    /// Moves what isn't what it was to the stage. Returns the names that lack their object.
    fn set_aside(&mut self) -> Vec<Lost> {
        let mut lost = Vec::new();
        for dir in self
            .level
            .objects
            .values()
            .filter(|object| !object.entries.is_empty())
        {
            let found = dir.reach(&self.level.shelves);
            let looked = found.and_then(|fd| Ok((Stat::of_fd(fd.as_fd())?, fd)));
            let (dir_stat, fd) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    let path = dir.pin().map_or_else(PathBuf::new, sys::path_of);
                    self.outcome.problem(path, "find the directory", error);
                    self.is_anything_missing = true;
                    continue;
                }
            };
            for (name, was) in &dir.entries {
                let aside = Aside {
                    objects: &self.level.objects,
                    stage: &mut self.stage,
                    stores: self.stores,
                };
                match aside.entry(fd.as_fd(), &dir_stat, name, *was) {
                    Ok(true) => {}
                    Ok(false) => {
                        if let Was::Present(object) = *was {
                            lost.push(Lost {
                                dir: dir.id,
                                name: name.clone(),
                                object,
                            });
                        }
                    }
                    Err(error) => {
                        let path = sys::path_of(fd.as_fd()).join(name.as_os());
                        self.outcome.problem(path, "move it away", error);
                        self.in_the_way.insert((dir.id, name.clone()));
                        self.is_anything_missing = true;
                    }
                }
            }
        }
        lost
    }

    /// Old objects can lie where no record leads: in a directory of the branch. They go to the
    /// stage too, before such a directory is thrown away.
    fn fetch(&mut self, lost: &[Lost]) {
        for lost in lost {
            let Some(object) = self.level.objects.get(&lost.object) else {
                continue;
            };
            let Some(pin) = object.pin() else { continue };
            if self.stage.has(object.id) || object.trash.is_some() {
                continue;
            }
            // Another name of a file may be where it belongs. By its pin it gets one more.
            let Ok(stat) = Stat::of_fd(pin) else { continue };
            if !stat.is_directory() && stat.nlink != 1 {
                continue;
            }
            let Ok((dir, name)) = self.way.to(pin, &self.level, self.stores) else {
                continue;
            };
            let Ok(dir_stat) = Stat::of_fd(dir.as_fd()) else {
                continue;
            };
            // Others have taken the other names away; this one is as old.
            if self.knows_born && !self.level.is_born(&dir_stat) {
                continue;
            }
            let there = Stat::of(dir.as_fd(), &name);
            if !matches!(there, Ok(Some(there)) if object.is(&there))
                || self.belongs(&dir_stat, &name, &stat)
            {
                continue;
            }
            if let Some(store) = self.stores.for_directory(dir.as_fd(), &dir_stat) {
                let put = (self.stage).put(self.stores, store, dir.as_fd(), &name, stat.id);
                if let Err(error) = put {
                    self.outcome.problem(sys::path_of(pin), "fetch it", error);
                }
            }
        }
    }

    /// Whether an object is where it was.
    fn belongs(&self, dir: &Stat, name: &OsStr, object: &Stat) -> bool {
        let dir = self.level.objects.get(&dir.id);
        dir.and_then(|dir| dir.entries.get(name)) == Some(&Was::Present(object.id))
    }

    /// Lets each name lead to its old object again.
    fn bring_back(&mut self, lost: Vec<Lost>) {
        let mut wanted: HashMap<FileId, usize> = HashMap::new();
        for lost in &lost {
            *wanted.entry(lost.object).or_default() += 1;
            if let Some(pin) = self.level.objects.get(&lost.object).and_then(Object::pin) {
                self.stage.prefer(self.stores, lost.object, pin);
            }
        }
        let mut pending = lost;
        loop {
            let before = pending.len();
            let mut failed = Vec::new();
            for lost in pending {
                let is_last =
                    wanted.get(&lost.object) == Some(&1) || self.stage.count(lost.object) > 1;
                match self.bring_one_back(&lost, is_last) {
                    Ok(()) => {
                        self.outcome.restored.names += 1;
                        wanted.entry(lost.object).and_modify(|count| *count -= 1);
                    }
                    Err(error) => failed.push((lost, error)),
                }
            }
            // A directory that was made anew lets those below it follow.
            if failed.is_empty() || failed.len() == before {
                for (lost, error) in failed {
                    self.is_anything_missing = true;
                    let dir = self.level.objects.get(&lost.dir).and_then(|dir| dir.pin());
                    let path = dir
                        .map_or_else(PathBuf::new, sys::path_of)
                        .join(lost.name.as_os());
                    self.outcome.problem(path, "bring it back", error);
                }
                return;
            }
            pending = failed.into_iter().map(|(lost, _)| lost).collect();
        }
    }

    fn bring_one_back(&mut self, lost: &Lost, is_last: bool) -> io::Result<()> {
        if self.in_the_way.contains(&(lost.dir, lost.name.clone())) {
            return Err(Errno::EEXIST.into());
        }
        let name = lost.name.as_os();
        let dir = self
            .level
            .objects
            .get(&lost.dir)
            .ok_or(Errno::ENOENT)?
            .reach(&self.level.shelves)?;
        let dir = dir.as_fd();
        let object = self
            .level
            .objects
            .get_mut(&lost.object)
            .ok_or(Errno::ENOENT)?;
        if let Some(staged) = self.stage.peek(object.id) {
            let stage = self.stores.get(staged.store).stage();
            if give(stage, &staged.name, dir, name, is_last)? {
                self.stage.pop(object.id);
            }
        } else if let Some(place) = object.trash {
            let shelf = self
                .level
                .shelves
                .iter()
                .find(|shelf| shelf.id() == place.shelf);
            let shelf = shelf.ok_or(Errno::ENOENT)?;
            if give(shelf.dir(), OsStr::new(&place.name()), dir, name, is_last)? {
                object.trash = None;
            }
        } else if let Some(anew) = &object.anew {
            // Another name has made it already, or it is made now.
            let made = match object.pin() {
                Some(pin) if !object.is_directory() && sys::link_pinned(pin, dir, name).is_ok() => {
                    None
                }
                _ => Some(make_anew(anew, dir, name)?),
            };
            if let Some(made) = made {
                self.outcome.has_made_anew = true;
                object.pin = Some(made);
            }
        } else {
            let pin = object
                .pin()
                .filter(|_| !object.is_directory())
                .ok_or(Errno::ENOENT)?;
            step();
            sys::link_pinned(pin, dir, name)?;
        }
        if object.pin.is_none() && object.properties.is_some() {
            self.restore_where(lost.object, &sys::pin(dir, name)?);
        }
        Ok(())
    }

    /// Puts back content and properties of what has no pin, while it is at hand.
    fn restore_where(&mut self, id: FileId, pin: &OwnedFd) {
        if !self.restored.insert(id) {
            return;
        }
        let Some(object) = self.level.objects.get(&id) else {
            return;
        };
        step();
        let failures = object.restore(pin.as_fd(), &self.level.shelves, self.stores);
        self.outcome.restored.inodes += 1;
        for failure in failures {
            self.outcome
                .problem(sys::path_of(pin.as_fd()), failure.what, failure.error);
        }
    }

    /// What is still on the stage is new.
    fn clear_stage(&mut self) {
        for (id, staged) in std::mem::take(&mut self.stage).into_rest() {
            step();
            if self.is_anything_missing {
                match self.stores.leave_staged(staged.store, &staged.name) {
                    Ok(path) => self.outcome.problem(
                        path,
                        "remove it: an old file may be in it",
                        not_safe(),
                    ),
                    Err(error) => {
                        let path = self.stores.get(staged.store).path().to_owned();
                        self.outcome.problem(path, "put aside what is new", error);
                    }
                }
                continue;
            }
            let number = self.stores.next_number();
            let store = self.stores.get(staged.store);
            let is_old = self
                .level
                .objects
                .get(&id)
                .is_some_and(|object| !object.is_directory());
            let removed = match is_old {
                // One of several links to an old file: its link count shows.
                true => sys::unlink(store.stage(), &staged.name),
                false => store.discard(store.stage(), &staged.name, number),
            };
            match removed {
                Ok(()) => self.outcome.restored.removed += 1,
                Err(error) => {
                    let path = store.path().join("stage").join(&staged.name);
                    self.outcome.problem(path, "remove it", error);
                }
            }
        }
    }

    /// Puts back contents and properties: of directories, or of everything else.
    fn restore(&mut self, directories: bool) {
        let wanted = self.level.objects.values().filter(|object| {
            object.is_directory() == directories
                && object.properties.is_some()
                && !self.restored.contains(&object.id)
        });
        for id in wanted.map(|object| object.id).collect::<Vec<_>>() {
            // What isn't found has been named already.
            let found = self
                .level
                .objects
                .get(&id)
                .map(|object| object.reach(&self.level.shelves));
            if let Some(Ok(pin)) = found {
                self.restore_where(id, &pin);
            }
        }
    }

    /// Forgets the plan and what was kept.
    fn finish(mut self) -> Outcome {
        std::mem::take(&mut self.way).close(&mut self.outcome);
        if let Some(store) = self.stores.anywhere() {
            let removed = plan::remove(self.stores.get(store).root());
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let path = self.stores.get(store).path().to_owned();
                    self.outcome.problem(path, "remove the plan", error);
                }
                _ => {}
            }
        }
        if !self.is_anything_missing {
            self.unlink_trash();
        }
        for shelf in std::mem::take(&mut self.level.shelves) {
            step();
            if self.is_anything_missing {
                match self.stores.leave_shelf(&shelf) {
                    Ok(path) => self.outcome.problem(
                        path,
                        "remove it: an old file may be in it",
                        not_safe(),
                    ),
                    Err(error) => {
                        let path = self.stores.get(shelf.store()).path().to_owned();
                        self.outcome.problem(path, "put aside what was kept", error);
                    }
                }
            } else {
                self.stores.discard_shelf(&shelf);
            }
        }
        self.outcome
    }

    /// Links on a shelf that no name needed: they show in the files' link counts.
    fn unlink_trash(&mut self) {
        for object in self
            .level
            .objects
            .values()
            .filter(|object| !object.is_directory())
        {
            let Some(place) = object.trash else { continue };
            if let Some(shelf) = self
                .level
                .shelves
                .iter()
                .find(|shelf| shelf.id() == place.shelf)
            {
                step();
                let _ = sys::unlink(shelf.dir(), OsStr::new(&place.name()));
            }
        }
    }
}

/// What looking at one name needs.
struct Aside<'a> {
    objects: &'a HashMap<FileId, Object>,
    stage: &'a mut Stage,
    stores: &'a mut Stores,
}

impl Aside<'_> {
    /// Returns whether the name is right; what is wrong under it goes to the stage.
    fn entry(
        self,
        dir: BorrowedFd<'_>,
        dir_stat: &Stat,
        name: &Name,
        was: Was,
    ) -> io::Result<bool> {
        let now = Stat::of(dir, name.as_os())?;
        let is_right = was.is_now(self.objects, now.as_ref());
        if let (false, Some(now)) = (is_right, now) {
            let store = self
                .stores
                .for_directory(dir, dir_stat)
                .ok_or(Errno::EXDEV)?;
            self.stage
                .put(self.stores, store, dir, name.as_os(), now.id)?;
        }
        Ok(is_right)
    }
}

/// Gives an object a name: its last one there, or one more. Returns whether it was the last.
fn give(
    from: BorrowedFd<'_>,
    old: &OsStr,
    dir: BorrowedFd<'_>,
    name: &OsStr,
    is_last: bool,
) -> io::Result<bool> {
    step();
    if !is_last && sys::link(from, old, dir, name).is_ok() {
        return Ok(false);
    }
    closed::move_to(from, old, dir, name)?;
    Ok(true)
}

/// Makes an object that could not be kept by a link.
fn make_anew(anew: &Anew, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    step();
    match anew {
        Anew::File => drop(sys::create(dir, name)?),
        Anew::Directory => mkdirat(dir, name, Mode::S_IRWXU)?,
        Anew::Symlink(target) => symlinkat(target.as_os(), dir, name)?,
        Anew::Node { mode, rdev } => {
            let kind = SFlag::from_bits_truncate(mode & nix::libc::S_IFMT);
            mknodat(dir, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, *rdev)?;
        }
    }
    sys::pin(dir, name)
}

fn not_safe() -> io::Error {
    io::Error::other("something could not be brought back, see above")
}
