//! Removing what nobody needs any more, a bounded number of objects at a time, so that the
//! journal can answer the program in between.
//!
//! It never leaves the store's filesystem: something may be mounted in a directory that the
//! program had made.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::libc;

use super::place::{LEFT, Store};
use crate::journal::stat::Stat;
use crate::journal::sys;

/// Removes what is in `dir`, until `budget` is used up. Returns whether all is gone that can go.
pub(super) fn empty(dir: BorrowedFd<'_>, store: &Stat, budget: &mut usize) -> bool {
    names(dir)
        .iter()
        .all(|name| *budget > 0 && remove(dir, name, store, budget))
}

/// Removes all that is in a store, but for what could not be brought back. Returns whether
/// nothing else is left.
pub(super) fn empty_store(store: &Store, keeps_left: bool) -> bool {
    let mut budget = usize::MAX;
    let mut all = true;
    for name in names(store.root()) {
        if !(keeps_left && name == LEFT) {
            all &= remove(store.root(), &name, store.stat(), &mut budget);
        }
    }
    all
}

/// The names in a directory.
pub(crate) fn names(dir: BorrowedFd<'_>) -> Vec<OsString> {
    let Ok(mut list) = sys::list(dir) else {
        return Vec::new();
    };
    list.iter()
        .filter_map(Result::ok)
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| name != "." && name != "..")
        .collect()
}

/// Removes one thing with all below. Returns false if the budget ended first; what can't be
/// removed stays.
fn remove(dir: BorrowedFd<'_>, name: &OsStr, store: &Stat, budget: &mut usize) -> bool {
    match sys::unlink(dir, name).map_err(|error| error.raw_os_error()) {
        Err(Some(libc::EISDIR | libc::EPERM)) => {}
        _ => {
            *budget = budget.saturating_sub(1);
            return true;
        }
    }
    // One that the program has removed, and may still have open, is empty: its mode stays.
    if sys::remove_directory(dir, name).is_ok() {
        *budget = budget.saturating_sub(1);
        return true;
    }
    let Ok(pin) = sys::pin(dir, name) else {
        return true;
    };
    let Ok(stat) = Stat::of_fd(pin.as_fd()) else {
        return true;
    };
    if !stat.is_directory() || stat.mount != store.mount {
        return true;
    }
    if stat.mode & 0o700 != 0o700 {
        // The program has locked it against its owner.
        let _ = sys::set_mode(pin.as_fd(), 0o700);
    }
    if !empty(pin.as_fd(), store, budget) {
        return false;
    }
    let _ = sys::remove_directory(dir, name);
    *budget = budget.saturating_sub(1);
    true
}
