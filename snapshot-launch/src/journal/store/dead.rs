//! The stores of sessions that have died: a kill leaves them. The next session removes them,
//! but for those that tell how to finish a revert.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::place::{PLAN, PREFIX, Store};
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

/// Removes the stores of sessions that have died, as far as they are in these directories or
/// named there. Returns those with a revert that was cut: it can be finished.
#[cfg_attr(not(test), expect(dead_code, reason = "a session will begin with it"))]
pub(crate) fn sweep_dead(candidates: &[PathBuf]) -> Vec<PathBuf> {
    let mut cut = Vec::new();
    for candidate in candidates {
        let Ok(dir) = sys::pin_directory(candidate) else {
            continue;
        };
        for name in sweep::names(dir.as_fd()) {
            if name.as_bytes().starts_with(PREFIX.as_bytes()) {
                cut.extend(sweep_one(&candidate.join(name)));
            }
        }
    }
    cut
}

/// Removes one and those that it names, if nobody uses them. Returns its path if it has a plan.
fn sweep_one(path: &Path) -> Option<PathBuf> {
    // What can't be opened belongs to somebody else, or to a session that is alive.
    let pin = sys::pin(
        sys::pin_directory(path.parent()?).ok()?.as_fd(),
        path.file_name()?,
    )
    .ok()?;
    let store = Store::open(path, pin, false).ok()?;
    let has = |name| matches!(Stat::of(store.root(), OsStr::new(name)), Ok(Some(_)));
    if has(PLAN) {
        return Some(path.to_owned());
    }
    if has("left") || !sweep::names(store.stage()).is_empty() {
        // Something in it could not be brought back. A person knows of it.
        return None;
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
            sweep_one(other);
        }
    }
    if sweep::empty_store(&store, false) {
        let _ = store.remove();
    }
    None
}
