//! The *stage*: where a revert puts what isn't where it belongs, before anything comes back.
//! Then no old object stands in another's way, and none lies below another.
//!
//! What a revert that was cut has left there is found by a look.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;

use super::stop::step;
use crate::journal::closed;
use crate::journal::stat::{FileId, Stat};
use crate::journal::store::{StoreId, Stores, names};
use crate::journal::sys;

/// Something on it.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    pub(super) store: StoreId,
    pub(super) name: OsString,
}

/// All that is on it. An inode with several links can be there more than once.
#[derive(Debug, Default)]
pub(super) struct Stage {
    items: HashMap<FileId, Vec<Staged>>,
}

impl Stage {
    /// What is there now.
    pub(super) fn look(stores: &mut Stores) -> Self {
        let mut stage = Self::default();
        let mut last = 0;
        for (store, place) in stores.iter() {
            for name in names(place.stage()) {
                let number = name.to_str().and_then(|name| name.parse().ok());
                last = last.max(number.unwrap_or(0));
                if let Ok(Some(stat)) = Stat::of(place.stage(), &name) {
                    stage.add(stat.id, Staged { store, name });
                }
            }
        }
        stores.skip_numbers(last);
        stage
    }

    fn add(&mut self, id: FileId, staged: Staged) {
        self.items.entry(id).or_default().push(staged);
    }

    /// Moves something there.
    pub(super) fn put(
        &mut self,
        stores: &mut Stores,
        store: StoreId,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        id: FileId,
    ) -> io::Result<()> {
        let new = OsString::from(stores.next_number().to_string());
        let stage = stores.get(store).stage();
        step();
        closed::move_to(dir, name, stage, &new)?;
        self.add(id, Staged { store, name: new });
        Ok(())
    }

    pub(super) fn has(&self, id: FileId) -> bool {
        self.items.get(&id).is_some_and(|items| !items.is_empty())
    }

    pub(super) fn count(&self, id: FileId) -> usize {
        self.items.get(&id).map_or(0, Vec::len)
    }

    /// Of several links to one inode, the one that this pin knows is to come back first.
    /// Descriptors belong to a name, and show `(deleted)` when that one goes.
    pub(super) fn prefer(&mut self, stores: &Stores, id: FileId, pin: BorrowedFd<'_>) {
        let Some(items) = self.items.get_mut(&id).filter(|items| items.len() > 1) else {
            return;
        };
        let path = sys::path_of(pin);
        let is_it = |staged: &Staged| {
            let stage = stores.get(staged.store).stage();
            path.file_name() == Some(&staged.name) && path.parent() == Some(&sys::path_of(stage))
        };
        if let Some(at) = items.iter().position(is_it) {
            let last = items.len() - 1;
            items.swap(at, last);
        }
    }

    pub(super) fn peek(&self, id: FileId) -> Option<&Staged> {
        self.items.get(&id)?.last()
    }

    pub(super) fn pop(&mut self, id: FileId) {
        if let Some(items) = self.items.get_mut(&id) {
            items.pop();
        }
    }

    /// What is left.
    pub(super) fn into_rest(self) -> impl Iterator<Item = (FileId, Staged)> {
        self.items
            .into_iter()
            .flat_map(|(id, items)| items.into_iter().map(move |item| (id, item)))
    }
}
