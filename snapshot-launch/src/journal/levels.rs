//! All levels of a session, a level a snapshot: the face of the undo log.
//!
//! Whoever changes something for the program calls these before it does so, with the directory,
//! the name and the state that it has seen. Only the newest level takes records. Without a level
//! nothing is kept, and every call returns at once.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use snapshot_core::terms::SnapshotId;

use crate::talk::journal::Counts;

use super::coverage::Coverage;
use super::diff::compare;
use super::records::{Leaves, Level, Want};
use super::seals::Seals;
use super::stat::{FileId, Kind, Stat};
use super::store::Stores;
use super::sys;
use super::undo::{Outcome, respect_outsiders, undo};
use crate::talk::file_changes::FileChange;

/// Oldest first.
#[derive(Debug)]
pub(crate) struct Levels {
    levels: Vec<Level>,
    stores: Stores,
    seals: Seals,
    /// The program has means to change anything unseen.
    is_blind: bool,
}

impl Levels {
    /// None yet. The stores are named with `tag`, and made in these directories by preference.
    pub(crate) fn new(tag: &str, candidates: Vec<PathBuf>) -> Self {
        Self {
            levels: Vec::new(),
            stores: Stores::new(tag, candidates),
            seals: Seals::default(),
            is_blind: false,
        }
    }

    /// Begins a level: the snapshot `id` is taken now.
    pub(crate) fn begin(&mut self, id: SnapshotId) {
        let mut level = Level::new(id);
        // Whoever can't be seen goes on.
        if self.is_blind || self.levels.last().is_some_and(Level::is_blind) {
            level.goes_blind();
        }
        if let Some(newest) = self.levels.last_mut() {
            newest.rest();
        }
        self.levels.push(level);
    }

    /// Takes it back: the take has failed. What was kept since goes to the level below.
    #[cfg(test)]
    pub(crate) fn abandon_newest(&mut self) {
        if let Some(newest) = self.levels.last() {
            self.drop_level(newest.id);
        }
    }

    #[cfg(test)]
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Before the name `name` in `dir` comes to lead somewhere else; `now` is what it leads to.
    /// Both names of a rename are touched, and also that of a link, a new file or directory.
    ///
    /// The directory's properties are kept too. An object that is there is held, so that it can
    /// be found wherever it goes; if it goes for good, [`Self::keep_link`] must follow.
    ///
    /// # Errors
    /// The program's call should fail with it: nothing was kept.
    pub(crate) fn touch_entry(
        &mut self,
        dir: BorrowedFd<'_>,
        dir_stat: &Stat,
        name: &OsStr,
        now: Option<&Stat>,
    ) -> io::Result<Coverage> {
        if let Some(now) = now {
            self.seals.loses_name(now);
        }
        match self.levels.last_mut() {
            Some(level) => level.touch_entry(&mut self.stores, dir, dir_stat, name, now),
            None => Ok(Coverage::Covered),
        }
    }

    /// Before mode, owner, times, extended attributes or flags change.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn keep_properties(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        match self.levels.last_mut() {
            Some(level) => level.keep_properties(&mut self.stores, pin, stat),
            None => Ok(Coverage::Covered),
        }
    }

    /// Before a file's bytes change.
    ///
    /// # Errors
    /// As above; a full disk is one.
    pub(crate) fn keep_content(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        want: Want,
    ) -> io::Result<Coverage> {
        self.opens(pin, stat);
        match self.levels.last_mut() {
            Some(level) => level.keep_content(&mut self.stores, pin, stat, want),
            None => Ok(Coverage::Covered),
        }
    }

    /// The program is about to get a descriptor that can write to this file.
    fn opens(&mut self, pin: BorrowedFd<'_>, stat: &Stat) {
        if stat.kind != Kind::File || self.levels.last().is_none_or(|of| of.is_born(stat)) {
            return;
        }
        let mut levels = self.levels.iter().rev();
        self.seals.opens(pin, stat, || {
            let kept = levels.find(|level| !level.has_nothing_of(stat.id));
            kept.map(|level| level.id)
        });
    }

    /// Whether somebody should look for files without writers: [`Self::seal`].
    pub(crate) fn closings(&self) -> Option<BorrowedFd<'_>> {
        self.seals.fd()
    }

    /// Notes how files are that nobody can write to any more.
    pub(crate) fn seal(&mut self) {
        for id in self.seals.closed() {
            let objects = self.levels.iter().rev();
            let mut found = objects.filter_map(|level| {
                let object = level.objects.get(&id)?;
                object.reach(&level.shelves).ok()
            });
            if let Some(pin) = found.next() {
                self.seals.seal(pin.as_fd());
            }
        }
    }

    /// The program may change this file's content or times, and nobody sees it.
    pub(crate) fn loses_sight_of(&mut self, stat: &Stat) {
        self.seals.loses(stat);
    }

    /// The same, at some time from now on.
    pub(crate) fn will_lose_sight_of(&mut self, stat: &Stat) {
        if !self.levels.is_empty() {
            self.seals.will_lose(stat);
        }
    }

    /// The program may change anything, and nobody sees it.
    pub(crate) fn goes_blind(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.goes_blind();
        }
    }

    /// The same for as long as it lives.
    pub(crate) fn stays_blind(&mut self) {
        self.is_blind = true;
        self.goes_blind();
    }

    /// The program gives this object a name.
    pub(crate) fn placed(&mut self, stat: &Stat) {
        if let Some(level) = self.levels.last_mut() {
            level.placed(stat);
        }
    }

    /// The same by a call that the kernel carries out by itself.
    pub(crate) fn placed_by_kernel(&mut self, stat: &Stat) {
        if let Some(level) = self.levels.last_mut() {
            level.placed_by_kernel(stat);
        }
    }

    /// The kernel may put something under this name by itself.
    pub(crate) fn is_unsure_of(&mut self, dir: &Stat, name: &OsStr) {
        if let Some(level) = self.levels.last_mut() {
            level.is_unsure_of(dir, name);
        }
    }

    /// A big file will ask before it is written to.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn guard(&mut self, pin: BorrowedFd<'_>, stat: &Stat) -> io::Result<Coverage> {
        self.opens(pin, stat);
        match self.levels.last_mut() {
            Some(level) => level.guard(&mut self.stores, pin, stat),
            None => Ok(Coverage::Covered),
        }
    }

    /// Whether nothing is kept of a file's content.
    pub(crate) fn has_nothing_of(&self, id: FileId) -> bool {
        (self.levels.last()).is_some_and(|level| level.has_nothing_of(id))
    }

    /// Whether a file's content is kept a unit at a time.
    pub(crate) fn has_blocks(&self, id: FileId) -> bool {
        self.levels.last().is_some_and(|level| level.has_blocks(id))
    }

    /// Before a range (offset and length) of a guarded file changes; `file` is the file to read
    /// from, if it is open.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn keep_range(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        range: (u64, u64),
        file: Option<&File>,
    ) -> io::Result<Coverage> {
        // A call by path needs no descriptor.
        self.opens(pin, stat);
        match self.levels.last_mut() {
            Some(level) => level.keep_range(&mut self.stores, pin, stat, range, file),
            None => Ok(Coverage::Covered),
        }
    }

    /// Before a name is removed, or something is renamed over it: keeps the inode.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn keep_link(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
    ) -> io::Result<Coverage> {
        match self.levels.last_mut() {
            Some(level) => level.keep_link(&mut self.stores, dir, name, stat),
            None => Ok(Coverage::Covered),
        }
    }

    /// Removes an empty directory that existed at the newest take. It does what `rmdir` does
    /// for the program, and keeps the directory.
    ///
    /// # Errors
    /// Those of `rmdir`: ENOTEMPTY above all.
    pub(crate) fn move_directory_away(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        leaves: Leaves,
    ) -> io::Result<Coverage> {
        match self.levels.last_mut() {
            Some(level) if !level.is_born(stat) => {
                level.move_directory_away(&mut self.stores, dir, name, stat, leaves)
            }
            _ => super::sys::remove_directory(dir, name).map(|()| Coverage::Covered),
        }
    }

    /// An empty directory has gone for good, for want of a place where it could wait.
    pub(crate) fn comes_back_anew(
        &mut self,
        pin: BorrowedFd<'_>,
        stat: &Stat,
        refused: &io::Error,
    ) -> Coverage {
        match self.levels.last_mut() {
            Some(level) => level.comes_back_anew(pin, stat, refused),
            None => Coverage::Covered,
        }
    }

    /// This object was made after the newest take: nothing needs to be kept of it.
    /// It is the one under this name; of the descriptor itself for an empty one.
    pub(crate) fn born(&mut self, stat: &Stat, dir: BorrowedFd<'_>, name: &OsStr) {
        if let Some(level) = self.levels.last_mut() {
            level.born(stat, sys::generation(dir, name));
        }
    }

    /// An object that was born has lost its last name.
    pub(crate) fn gone(&mut self, stat: &Stat) {
        if let Some(level) = self.levels.last_mut() {
            level.gone(stat);
        }
    }

    pub(crate) fn is_born(&self, stat: &Stat) -> bool {
        self.levels.last().is_some_and(|level| level.is_born(stat))
    }

    /// Puts files back as they were at a take, and forgets the levels above it. With `keep` its
    /// own level begins anew.
    ///
    /// The program must not run meanwhile. Without such a level nothing happens. What others have
    /// changed stays, and what was there before is put beside; by `force` it is the other way
    /// round.
    pub(crate) fn revert_to(&mut self, id: SnapshotId, keep: bool, force: bool) -> Outcome {
        let Some(index) = self.position(id) else {
            return Outcome::default();
        };
        while self.levels.len() > index + 1 {
            self.merge_down(self.levels.len() - 1);
        }
        let outcome = match self.levels.pop() {
            Some(mut level) => {
                self.seal();
                let outsiders = respect_outsiders(&mut level, &self.seals, force);
                let staying = (!outsiders.news.is_empty()).then(|| level.known());
                // What is put back is written to.
                self.seals.begin_anew();
                let outcome = undo(level, &mut self.stores);
                if let (Some(known), Some(below)) = (staying, self.levels.last_mut()) {
                    below.learn(known);
                }
                // What was made anew, or could not be removed, is unknown to the level below.
                let is_as_it_was = outcome.problems.is_empty() && !outcome.has_made_anew;
                if !is_as_it_was {
                    self.goes_blind();
                }
                for stat in &outsiders.made {
                    self.placed(stat);
                }
                Outcome {
                    outsiders: outsiders.news,
                    ..outcome
                }
            }
            None => Outcome::default(),
        };
        if keep {
            self.begin(id);
        }
        outcome
    }

    /// Lets go of all that lies on a mount: what it holds would keep the mount busy. Returns
    /// whether a revert loses anything by that.
    pub(crate) fn let_go(&mut self, mount: u64) -> bool {
        let mut is_loss = false;
        for level in &mut self.levels {
            is_loss |= level.let_go(mount, &mut self.stores);
        }
        self.stores.let_go(mount);
        is_loss
    }

    /// Forgets one level. The one below takes over its records.
    pub(crate) fn drop_level(&mut self, id: SnapshotId) {
        match self.position(id) {
            Some(0) => {
                let level = self.levels.remove(0);
                self.forget(level);
            }
            Some(index) => self.merge_down(index),
            None => {}
        }
    }

    /// Forgets all levels: the files stay as they are. Returns how many had changed.
    pub(crate) fn commit(&mut self) -> u64 {
        let changed = self.counts().first().map_or(0, |counts| counts.files);
        for level in std::mem::take(&mut self.levels) {
            self.forget(level);
        }
        changed
    }

    /// What each snapshot could bring back, oldest first.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        Self::counts_of(&self.levels)
    }

    /// What a revert to this snapshot undoes, with that of the newer ones.
    pub(crate) fn undone_by(&self, id: SnapshotId) -> Option<Counts> {
        let counts = Self::counts_of(&self.levels[self.position(id)?..]);
        let bytes = counts.iter().map(|of| of.bytes).sum();
        let all = *counts.first()?;
        Some(Counts { bytes, ..all })
    }

    fn counts_of(levels: &[Level]) -> Vec<Counts> {
        // A revert undoes the newer levels too.
        let mut files = HashSet::new();
        let mut counts: Vec<Counts> = Vec::new();
        for level in levels.iter().rev() {
            files.extend(level.files());
            counts.push(Counts {
                id: level.id.number(),
                files: files.len() as u64,
                bytes: level.bytes(),
            });
        }
        counts.reverse();
        counts
    }

    /// What differs between a take and a later one, or live. `None` if there is no such level.
    /// The flag says whether there is more.
    pub(crate) fn diff(
        &self,
        from: SnapshotId,
        to: Option<SnapshotId>,
        with_text: bool,
    ) -> Option<(Vec<FileChange>, bool)> {
        let from = self.position(from)?;
        let to = match to {
            Some(to) => self.position(to)?,
            None => self.levels.len(),
        };
        Some(compare(&self.levels, from, to, with_text))
    }

    /// The journal's own directories, but for the first `known` ones, and how many there were.
    pub(crate) fn stores_after(&self, known: usize) -> (Vec<PathBuf>, usize) {
        self.stores.after(known)
    }

    /// Removes up to `budget` things that nobody needs any more. Returns whether there are more.
    pub(crate) fn sweep_some(&mut self, budget: usize) -> bool {
        let are_watches_left = self.seals.unwatch_some(budget);
        self.stores.sweep_some(budget) || are_watches_left
    }

    /// Commits and removes the stores. Returns the paths of those that stay, because something
    /// in them could not be brought back.
    pub(crate) fn end(mut self) -> Vec<PathBuf> {
        self.commit();
        self.stores.end()
    }

    fn position(&self, id: SnapshotId) -> Option<usize> {
        self.levels.iter().position(|level| level.id == id)
    }

    fn merge_down(&mut self, index: usize) {
        let level = self.levels.remove(index);
        self.levels[index - 1].take_over(level, &mut self.stores);
    }

    fn forget(&mut self, level: Level) {
        // From here on nobody is asked.
        if self.levels.is_empty() {
            self.seals.begin_anew();
        }
        for shelf in &level.shelves {
            self.stores.discard_shelf(shelf);
        }
    }
}
