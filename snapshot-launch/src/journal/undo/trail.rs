//! The *trail*: what a plan knows of the way to objects beside the records.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::whereabouts::{Held, Whereabouts};
use crate::journal::stat::{FileId, Stat};

/// Where objects were, and which directories are opened.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// What the plan said that this process has found.
    earlier: Vec<Whereabouts>,
    /// The modes of directories without a record that are opened for the revert.
    modes: HashMap<FileId, u32>,
    /// Those directories, as far as this process knows them.
    held: HashMap<FileId, OwnedFd>,
}

impl Trail {
    /// That of a revert which another process has begun.
    pub(super) fn of_plan(earlier: Vec<Whereabouts>, opened: Vec<(FileId, u32)>) -> Self {
        Self {
            earlier,
            modes: opened.into_iter().collect(),
            held: HashMap::new(),
        }
    }

    pub(super) fn earlier(&self) -> &[Whereabouts] {
        &self.earlier
    }

    /// A directory is to be opened. Returns false if its mode is known from before.
    pub(super) fn add(&mut self, now: &Stat, dir: OwnedFd) -> bool {
        self.held.insert(now.id, dir);
        let is_new = !self.modes.contains_key(&now.id);
        if is_new {
            self.modes.insert(now.id, now.mode & 0o7777);
        }
        is_new
    }

    /// Those that another process has opened and that are not held here.
    pub(super) fn missing(&self) -> Vec<FileId> {
        let ids = self.modes.keys().filter(|id| !self.held.contains_key(id));
        ids.copied().collect()
    }

    /// One of them is found.
    pub(super) fn hold(&mut self, id: FileId, dir: OwnedFd) {
        self.held.insert(id, dir);
    }

    pub(super) fn modes(&self) -> impl Iterator<Item = (FileId, u32)> {
        self.modes.iter().map(|(id, mode)| (*id, *mode))
    }

    pub(super) fn held(&self) -> impl Iterator<Item = Held<'_>> {
        self.held.iter().map(|(id, dir)| Held {
            id: *id,
            is_directory: true,
            pin: dir.as_fd(),
        })
    }

    /// The opened directories, each with the mode that it gets again.
    pub(super) fn opened(&self) -> impl Iterator<Item = (BorrowedFd<'_>, u32)> {
        let mode = |id| self.modes.get(id).copied();
        let held = self.held.iter();
        held.filter_map(move |(id, dir)| Some((dir.as_fd(), mode(id)?)))
    }
}
