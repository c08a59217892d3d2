//! What others have changed since the take, beside the program. It is looked for before a revert
//! begins: it stays and is named, or by force it makes room and is kept under a name beside.
//!
//! The journal knows each object that the program has put under a name. So another one there is an
//! outsider's. Where the kernel has carried out a call by itself, nothing is said.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::journal::records::{Content, Level, Name, Was};
use crate::journal::seals::Seals;
use crate::journal::stat::{FileId, Kind, Stat};
use crate::journal::store::names;
use crate::journal::sys;

/// Takes what others have changed out of a level's records, or puts it aside. Returns what a
/// person should hear.
pub(crate) fn respect_outsiders(level: &mut Level, seals: &Seals, force: bool) -> Vec<String> {
    let mut news = Vec::new();
    if level.is_blind() {
        return news;
    }
    for (dir, name) in foreign_names(level) {
        let found = level.objects.get(&dir).map(|dir| dir.reach(&level.shelves));
        let Some(Ok(fd)) = found else { continue };
        let path = sys::path_of(fd.as_fd()).join(name.as_os());
        if force {
            news.push(match put_aside(fd.as_fd(), name.as_os()) {
                Ok(new) => moved(&path, &new),
                Err(error) => format!(
                    "{}: failed to put aside what others have put there: {error}",
                    path.display()
                ),
            });
        } else {
            if let Some(dir) = level.objects.get_mut(&dir) {
                dir.entries.remove(&name);
            }
            news.push(stays(&path, "has put something there"));
        }
    }
    for id in robbed(level, seals) {
        let Some(object) = level.objects.get_mut(&id) else {
            continue;
        };
        let path = object.pin().map(without_mark).unwrap_or_default();
        if !force {
            object.content = Content::Unkept;
            object.properties = None;
            news.push(stays(&path, "has replaced or removed it"));
            continue;
        }
        // The inode is beyond reach: its content comes back into a new one.
        let made = match object.pin() {
            Some(pin) => make_again(pin, &path),
            None => continue,
        };
        news.push(match made {
            Ok((pin, new)) => {
                object.pin = Some(pin);
                match new {
                    Some(new) => moved(&path, &new),
                    None => format!(
                        "{} is there again; somebody else had removed it",
                        path.display()
                    ),
                }
            }
            Err(error) => format!("{}: failed to bring it back: {error}", path.display()),
        });
    }
    for id in foreign_contents(level, seals) {
        let Some(object) = level.objects.get_mut(&id) else {
            continue;
        };
        let Ok(pin) = object.reach(&level.shelves) else {
            continue;
        };
        let path = sys::path_of(pin.as_fd());
        if force {
            news.push(match copy_beside(pin.as_fd(), &path) {
                Ok(new) => moved(&path, &new),
                Err(error) => format!(
                    "{}: failed to copy what others have written: {error}",
                    path.display()
                ),
            });
        } else {
            object.content = Content::Unkept;
            object.properties = None;
            news.push(stays(&path, "has written to it"));
        }
    }
    news
}

fn stays(path: &Path, has_done: &str) -> String {
    format!(
        "{} stays as it is: somebody else {has_done} since; `cargo snapshot revert --force` brings back such files",
        path.display()
    )
}

fn moved(path: &Path, new: &Path) -> String {
    format!(
        "{} is as it was; what somebody else has made of it is in {}",
        path.display(),
        new.display()
    )
}

/// Names that lead to something of somebody else's.
fn foreign_names(level: &Level) -> Vec<(FileId, Name)> {
    let mut found = Vec::new();
    for dir in level.objects.values() {
        if dir.entries.is_empty() {
            continue;
        }
        let Ok(fd) = dir.reach(&level.shelves) else {
            continue;
        };
        for (name, was) in &dir.entries {
            let Ok(Some(now)) = Stat::of(fd.as_fd(), name.as_os()) else {
                continue;
            };
            let is_right = matches!(was, Was::Present(id) if *id == now.id);
            if !is_right
                && is_judged(now.kind)
                && !level.is_unsure(dir.id, name)
                && is_foreign(level, fd.as_fd(), name.as_os(), &now)
            {
                found.push((dir.id, name.clone()));
            }
        }
    }
    found
}

/// The kernel makes the others by itself.
fn is_judged(kind: Kind) -> bool {
    matches!(kind, Kind::File | Kind::Directory | Kind::Symlink)
}

/// Whether it is somebody else's, or a directory of the program with such a thing in it.
fn is_foreign(level: &Level, dir: BorrowedFd<'_>, name: &OsStr, now: &Stat) -> bool {
    if !level.knows(now) {
        return true;
    }
    if !now.is_directory() || !level.is_born(now) {
        return false;
    }
    let Ok(fd) = sys::pin(dir, name) else {
        return false;
    };
    let mut inside = names(fd.as_fd()).into_iter();
    inside.any(|name| match Stat::of(fd.as_fd(), &name) {
        Ok(Some(stat)) => {
            is_judged(stat.kind)
                && !level.is_unsure(now.id, &Name::from(name.clone()))
                && is_foreign(level, fd.as_fd(), &name, &stat)
        }
        _ => false,
    })
}

/// Files that have lost all their names, and not by the program: it would have kept a link.
fn robbed(level: &Level, seals: &Seals) -> Vec<FileId> {
    let held = level.objects.values().filter(|object| {
        let is_lost = object.trash.is_none() && object.anew.is_none();
        object.kind == Kind::File && is_lost
    });
    let gone = held.filter(|object| {
        let stat = object.pin().map(Stat::of_fd);
        matches!(stat, Some(Ok(stat)) if stat.nlink == 0 && seals.had_name(&stat))
    });
    gone.map(|object| object.id).collect()
}

/// The path of what has lost its name. The kernel says so at its end.
fn without_mark(pin: BorrowedFd<'_>) -> PathBuf {
    let path = sys::path_of(pin);
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// A new file with this path, and with what the lost one has by now. What is there is put aside.
fn make_again(pin: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, Option<PathBuf>)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ENOENT.into());
    };
    let dir = sys::pin_directory(parent)?;
    let new = match Stat::of(dir.as_fd(), name)? {
        Some(_) => Some(put_aside(dir.as_fd(), name)?),
        None => None,
    };
    let mut old = sys::reopen(pin, OFlag::O_RDONLY)?;
    io::copy(&mut old, &mut sys::create(dir.as_fd(), name)?)?;
    Ok((sys::pin(dir.as_fd(), name)?, new))
}

fn foreign_contents(level: &Level, seals: &Seals) -> HashSet<FileId> {
    let kept = level
        .objects
        .values()
        .filter(|object| object.kind == Kind::File && !matches!(object.content, Content::Unkept));
    let foreign = kept.filter(|object| {
        let Ok(pin) = object.reach(&level.shelves) else {
            return false;
        };
        Stat::of_fd(pin.as_fd()).is_ok_and(|now| seals.differs(&now))
    });
    foreign.map(|object| object.id).collect()
}

/// A free name beside, for the outsider's version.
fn beside(name: &OsStr, number: u32) -> OsString {
    let mut new = name.to_owned();
    new.push(format!(".outside-{number}"));
    new
}

/// Tries names until one is free.
fn under_free_name<T>(
    name: &OsStr,
    mut make: impl FnMut(&OsStr) -> io::Result<T>,
) -> io::Result<(OsString, T)> {
    for number in 1..=1000 {
        let new = beside(name, number);
        match make(&new) {
            Ok(made) => return Ok((new, made)),
            Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EEXIST.into())
}

fn put_aside(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<PathBuf> {
    let (new, ()) = under_free_name(name, |new| sys::move_to(dir, name, dir, new))?;
    Ok(sys::path_of(dir).join(new))
}

fn copy_beside(pin: BorrowedFd<'_>, path: &Path) -> io::Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ENOENT.into());
    };
    let dir = sys::pin_directory(parent)?;
    let mut file = sys::reopen(pin, OFlag::O_RDONLY)?;
    let (new, mut copy) = under_free_name(name, |new| sys::create(dir.as_fd(), new))?;
    io::copy(&mut file, &mut copy)?;
    copy.set_permissions(file.metadata()?.permissions())?;
    Ok(parent.join(new))
}
