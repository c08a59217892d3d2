//! The arguments of an open, and the way to what it names. openat2(2) can restrict that way: the
//! kernel finds it for the journal with the same restrictions, and what is found is opened as for
//! any other call.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::Mode;

use super::work::Work;
use crate::journal::paths::{self, Base, Entry, Found};
use crate::journal::stat::Kind;

/// The arguments of open(2).
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Opening {
    pub(in crate::journal) base: Base,
    /// Where the path is.
    pub(in crate::journal) path: u64,
    pub(in crate::journal) flags: OFlag,
    pub(in crate::journal) mode: Mode,
    /// How the caller restricts the way there (openat2).
    pub(in crate::journal) resolve: ResolveFlag,
    /// Only the kernel can find the way.
    pub(in crate::journal) is_unclear: bool,
}

/// The way is free for all other calls, and nothing else is asked for here.
fn is_free(opening: Opening) -> bool {
    opening.resolve.is_empty() || opening.is_unclear
}

/// Notes if the journal can't find the caller's way.
///
/// # Errors
/// EAGAIN if the way must be in the kernel's cache: it asks for that only by luck.
pub(super) fn seen_from_here(work: &Work<'_>, opening: Opening) -> Result<Opening, Errno> {
    if opening
        .resolve
        .contains(ResolveFlag::from_bits_retain(RESOLVE_CACHED))
    {
        return Err(Errno::EAGAIN);
    }
    let is_unclear = !opening.resolve.is_empty() && work.caller.root.is_some();
    Ok(Opening {
        is_unclear: opening.is_unclear || is_unclear,
        ..opening
    })
}

/// `RESOLVE_CACHED` (`linux/openat2.h`).
const RESOLVE_CACHED: u64 = 0x20;

/// The object that a path leads to; `None` if only the kernel can open it.
///
/// # Errors
/// What the caller would get.
pub(super) fn object(
    work: &mut Work<'_>,
    opening: Opening,
    path: &[u8],
    follow: bool,
) -> Result<Option<OwnedFd>, Errno> {
    if is_free(opening) {
        return work.object(opening.base, path, follow);
    }
    let last = if follow {
        OFlag::empty()
    } else {
        OFlag::O_NOFOLLOW
    };
    let object = find(work, opening, path, OFlag::O_PATH | last)?;
    match object {
        Some(object) if !paths::is_in_proc(object.as_fd())? => Ok(Some(object)),
        _ => Ok(None),
    }
}

/// The entry that a path names, to be made if it isn't there; `InProc` if only the kernel can.
///
/// # Errors
/// As above.
pub(super) fn entry(
    work: &mut Work<'_>,
    opening: Opening,
    path: &[u8],
    follow: bool,
) -> Result<Found, Errno> {
    if is_free(opening) {
        return work.entry(opening.base, path, follow);
    }
    let mut path = path.to_vec();
    for _ in 0..MOST_LINKS {
        match one_entry(work, opening, &path, follow)? {
            Next::Found(found) => return Ok(found),
            Next::Link(target) if target.starts_with(b"/") => path = target,
            Next::Link(target) => {
                path = match paths::split(&path).0 {
                    b"" => target,
                    parent => [parent, b"/", &target].concat(),
                };
            }
        }
    }
    Err(Errno::ELOOP)
}

/// As many as the kernel follows.
const MOST_LINKS: u32 = 40;

/// A step to an entry.
enum Next {
    Found(Found),
    /// A link to something that isn't there.
    Link(Vec<u8>),
}

fn one_entry(
    work: &mut Work<'_>,
    opening: Opening,
    path: &[u8],
    follow: bool,
) -> Result<Next, Errno> {
    let there = match object(work, opening, path, follow) {
        Err(Errno::ENOENT) => None,
        Ok(None) => return Ok(Next::Found(Found::InProc)),
        found => found?,
    };
    let (parent, name, has_slash) = paths::split(path);
    let parent = if parent.is_empty() { b"." } else { parent };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let dir = match find(work, opening, parent, flags)? {
        Some(dir) if !paths::is_in_proc(dir.as_fd())? => dir,
        _ => return Ok(Next::Found(Found::InProc)),
    };
    let entry = Entry {
        dir_stat: paths::look(dir.as_fd())?,
        dir,
        name: OsStr::from_bytes(name).to_owned(),
        has_slash,
    };
    let is_link = (entry.now()?).is_some_and(|stat| stat.kind == Kind::Symlink);
    match there {
        Some(object) if follow && is_link => Ok(Next::Found(Found::Object(object))),
        None if follow && is_link && !has_slash => {
            let target = readlinkat(&entry.dir, entry.name.as_os_str())?;
            Ok(Next::Link(target.into_vec()))
        }
        _ => Ok(Next::Found(Found::Entry(entry))),
    }
}

/// Asks the kernel. `None` if the way leads through a link of `/proc`, which shows each process
/// something else.
fn find(
    work: &mut Work<'_>,
    opening: Opening,
    path: &[u8],
    flags: OFlag,
) -> Result<Option<OwnedFd>, Errno> {
    let strict = ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let is_below = opening.resolve.contains(ResolveFlag::RESOLVE_IN_ROOT);
    // With this one, a path from the root begins at the directory too.
    let from = if is_below { b"." } else { path };
    work.wardrobe.wear_own();
    let start = paths::start(work.caller, opening.base, from)?;
    let start = start.as_ref().map_or(AT_FDCWD, AsFd::as_fd);
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(opening.resolve | strict);
    let found = work.as_caller(|| openat2(start, OsStr::from_bytes(path), how));
    let forbids_links = strict
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_IN_ROOT;
    match found {
        Err(Errno::ELOOP) if !opening.resolve.intersects(forbids_links) => {
            work.levels().goes_blind();
            Ok(None)
        }
        found => found.map(Some),
    }
}
