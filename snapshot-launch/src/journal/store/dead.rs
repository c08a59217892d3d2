//! The stores of sessions that have died: a kill leaves them. The next session removes them,
//! but for those that tell how to finish a revert.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::place::{LEFT, PLAN, Store};
use super::sweep;
use crate::journal::stat::Stat;
use crate::journal::sys;

/// The file in a session's first store that names the others, each path with a zero after it.
const OTHERS: &str = "others";

/// Writes down where another store of the session is.
pub(super) fn note_other(first: &Store, path: &Path) -> io::Result<()> {
    let pin = match sys::pin(first.root(), OsStr::new(OTHERS)) {
        Ok(pin) => pin,
        Err(_) => sys::create(first.root(), OsStr::new(OTHERS))?.into(),
    };
    let mut file = sys::reopen(pin.as_fd(), OFlag::O_WRONLY | OFlag::O_APPEND)?;
    file.write_all(&[path.as_os_str().as_bytes(), b"\0"].concat())
}

/// Removes one and those that it names, if nobody uses them. One with a plan stays.
pub(crate) fn sweep_dead(path: &Path) {
    // What can't be opened belongs to somebody else, or to a session that is alive.
    let Some(store) = open(path) else { return };
    let has = |name| matches!(Stat::of(store.root(), OsStr::new(name)), Ok(Some(_)));
    if has(PLAN) || has(LEFT) || !sweep::names(store.stage()).is_empty() {
        // Something in it could not be brought back, or will be.
        return;
    }
    let others = std::fs::read(path.join(OTHERS)).unwrap_or_default();
    for other in others
        .split(|&byte| byte == 0)
        .filter(|other| !other.is_empty())
    {
        let other = Path::new(OsStr::from_bytes(other));
        let is_store = other
            .file_name()
            .is_some_and(|name| name == path.file_name().unwrap_or_default());
        if is_store && other != path {
            sweep_dead(other);
        }
    }
    if sweep::empty_store(&store, false) {
        let _ = store.remove();
    }
}

fn open(path: &Path) -> Option<Store> {
    let parent = sys::pin_directory(path.parent()?).ok()?;
    let pin = sys::pin(parent.as_fd(), path.file_name()?).ok()?;
    Store::open(path, pin, false).ok()
}
