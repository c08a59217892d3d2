//! What others have changed since the take is looked for before a revert begins. It stays, and what
//! was there comes back under a name beside; or by force it is the other way round. Both are named.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::foreign::{Foreign, Look, Robbed};
use crate::journal::records::{Content, Level, Name, Was};
use crate::journal::seals::Seals;
use crate::journal::stat::{FileId, Stat};
use crate::journal::sys;

/// What has become of others' changes.
#[derive(Debug, Default)]
pub(crate) struct Outsiders {
    /// What a person should hear.
    pub(crate) news: Vec<String>,
    /// Files that were made for what was there before.
    pub(crate) made: Vec<Stat>,
}

/// Takes what others have changed out of a level's records, or by force puts it aside.
pub(crate) fn respect_outsiders(level: &mut Level, seals: &Seals, force: bool) -> Outsiders {
    let mut outsiders = Outsiders::default();
    if level.is_blind() {
        return outsiders;
    }
    let mut look = Look::at(level);
    let names = look.names();
    let robbed = look.robbed(seals);
    let contents = look.contents(seals);
    for robbed in robbed {
        outsiders.respect_robbed(level, robbed, &names, force);
    }
    for foreign in names {
        if let Some(news) = respect_name(level, &foreign, force) {
            outsiders.news.push(news);
        }
    }
    for (id, path) in contents {
        let has_done = "has written to it";
        let copied = copy_beside(level, id, &path, force);
        outsiders.add(copied, &path, has_done, force);
    }
    outsiders
}

/// A file that was made, and what lies beside because of it.
struct Made {
    stat: Stat,
    beside: Option<PathBuf>,
}

impl Outsiders {
    /// The inode is beyond reach: its content comes back into a new one. `foreign` are the names
    /// under which something of others' stands.
    fn respect_robbed(
        &mut self,
        level: &mut Level,
        robbed: Robbed,
        foreign: &[Foreign],
        force: bool,
    ) {
        const HAS_DONE: &str = "has replaced or removed it";
        let Robbed { id, names, path } = robbed;
        if names.is_empty() {
            let made = make_again(level, id, &path, force);
            self.add(made, &path, HAS_DONE, force);
        }
        for (dir, name) in names {
            let Some(entries) = level.objects.get_mut(&dir) else {
                continue;
            };
            let Some(pin) = entries.pin() else { continue };
            let belongs = sys::path_of(pin).join(name.as_os());
            entries.entries.remove(&name);
            let is_free = belongs != path && !is_among(foreign, dir, &name);
            let made = make_again(level, id, &belongs, force && !is_free);
            if let (true, Ok(made), Some(dir)) = (is_free, &made, level.objects.get_mut(&dir)) {
                // It was moved before others came, and goes back from there.
                dir.entries.insert(name, Was::Present(made.stat.id));
            }
            let shown = belongs.display();
            match made {
                Ok(_) if is_free => self.news.push(format!(
                    "{shown} is there again, as a new file: somebody else {HAS_DONE} since"
                )),
                made => self.add(made, &belongs, HAS_DONE, force),
            }
        }
    }

    fn add(&mut self, made: io::Result<Made>, path: &Path, has_done: &str, force: bool) {
        let shown = path.display();
        self.news.push(match made {
            Ok(made) => {
                if !force {
                    self.made.push(made.stat);
                }
                match (force, made.beside) {
                    (false, beside) => stays(path, has_done, beside.as_deref()),
                    (true, Some(new)) => moved(path, &new),
                    (true, None) => format!("{shown} is there again; somebody else had removed it"),
                }
            }
            Err(error) if force => format!(
                "{shown}: somebody else {has_done} since; failed to keep their version: {error}"
            ),
            Err(error) => format!(
                "{}; failed to bring back what was there: {error}",
                stays(path, has_done, None)
            ),
        });
    }
}

fn is_among(foreign: &[Foreign], dir: FileId, name: &Name) -> bool {
    let mut names = foreign.iter();
    names.any(|foreign| (foreign.dir, &foreign.name) == (dir, name))
}

fn stays(path: &Path, has_done: &str, before: Option<&Path>) -> String {
    let path = path.display();
    let stays = format!("{path} stays as it is: somebody else {has_done} since");
    match before {
        Some(before) => format!("{stays}; what the snapshot has is in {}", before.display()),
        None => stays,
    }
}

fn moved(path: &Path, new: &Path) -> String {
    format!(
        "{} is as it was; what somebody else has made of it is in {}",
        path.display(),
        new.display()
    )
}

/// Another object comes to stand beside what others have put under this name, or the other way
/// round.
fn respect_name(level: &mut Level, foreign: &Foreign, force: bool) -> Option<String> {
    let Foreign { dir, name, .. } = foreign;
    let found = level.objects.get(dir)?.reach(&level.shelves);
    let fd = found.ok()?;
    let path = sys::path_of(fd.as_fd()).join(name.as_os());
    if force || foreign.is_maybe {
        return Some(match put_aside(fd.as_fd(), name.as_os()) {
            Ok(new) if !foreign.is_maybe => moved(&path, &new),
            Ok(new) => format!(
                "{} is as it was; what was there, maybe somebody else's, is in {}",
                path.display(),
                new.display()
            ),
            Err(error) => format!(
                "{}: failed to put aside what others have put there: {error}",
                path.display()
            ),
        });
    }
    let entries = &mut level.objects.get_mut(dir)?.entries;
    let was = entries.remove(name)?;
    let mut before = None;
    if let Was::Present(_) = was {
        let free = under_free_name(name.as_os(), BEFORE, |new| {
            let is_free = !entries.contains_key(new) && Stat::of(fd.as_fd(), new)?.is_none();
            is_free.then_some(()).ok_or(Errno::EEXIST.into())
        });
        if let Ok((new, ())) = free {
            before = Some(path.with_file_name(&new));
            entries.insert(Name::from(new), was);
        }
    }
    Some(stays(&path, "has put something there", before.as_deref()))
}

/// A new file with this path, or beside it, for what was kept of a file that has no name any more.
/// That one comes back too: the program may have it open.
fn make_again(level: &mut Level, id: FileId, path: &Path, force: bool) -> io::Result<Made> {
    let (dir, name) = place_of(path)?;
    let object = level.objects.get(&id).ok_or(Errno::ENOENT)?;
    let mut old = sys::reopen_quietly(object.pin().ok_or(Errno::ENOENT)?)?;
    let mut beside = None;
    let mut file = if force {
        if Stat::of(dir.as_fd(), name)?.is_some() {
            beside = Some(put_aside(dir.as_fd(), name)?);
        }
        sys::create(dir.as_fd(), name)?
    } else {
        let (new, file) = under_free_name(name, BEFORE, |new| sys::create(dir.as_fd(), new))?;
        beside = Some(path.with_file_name(new));
        file
    };
    io::copy(&mut old, &mut file)?;
    let made = beside.as_deref().filter(|_| !force).unwrap_or(path);
    let name = made.file_name().ok_or(Errno::ENOENT)?;
    let stat = Stat::of_fd(file.as_fd())?;
    level.comes_back_as(id, sys::pin(dir.as_fd(), name)?, &stat);
    Ok(Made { stat, beside })
}

/// Copies a file that others have written to: for their version by force, and else for what was
/// kept of it.
fn copy_beside(level: &mut Level, id: FileId, path: &Path, force: bool) -> io::Result<Made> {
    let object = level.objects.get(&id).ok_or(Errno::ENOENT)?;
    let pin = object.reach(&level.shelves)?;
    let copied = place_of(path).and_then(|(dir, name)| {
        let mut file = sys::reopen_quietly(pin.as_fd())?;
        let mark = if force { OUTSIDE } else { BEFORE };
        let (new, mut copy) = under_free_name(name, mark, |new| sys::create(dir.as_fd(), new))?;
        io::copy(&mut file, &mut copy)?;
        if force {
            copy.set_permissions(file.metadata()?.permissions())?;
        }
        let stat = Stat::of_fd(copy.as_fd())?;
        Ok((sys::pin(dir.as_fd(), &new)?, stat, path.with_file_name(new)))
    });
    if let (Ok((copy, stat, _)), false) = (&copied, force) {
        level.comes_back_as(id, copy.try_clone()?, stat);
    }
    if !force && let Some(object) = level.objects.get_mut(&id) {
        object.content = Content::Unkept;
        object.properties = None;
    }
    let (_, stat, beside) = copied?;
    Ok(Made {
        stat,
        beside: Some(beside),
    })
}

/// The directory and the name in a path.
fn place_of(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ENOENT.into());
    };
    Ok((sys::pin_directory(parent)?, name))
}

/// What follows a name that was taken: for the outsider's version, and for the snapshot's.
const OUTSIDE: &str = "outside";
const BEFORE: &str = "before";

/// Tries names until one is free.
fn under_free_name<T>(
    name: &OsStr,
    mark: &str,
    mut make: impl FnMut(&OsStr) -> io::Result<T>,
) -> io::Result<(OsString, T)> {
    for number in 1..=1000 {
        let mut new = name.to_owned();
        new.push(format!(".{mark}-{number}"));
        match make(&new) {
            Ok(made) => return Ok((new, made)),
            Err(error) if error.raw_os_error() == Some(nix::libc::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EEXIST.into())
}

fn put_aside(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<PathBuf> {
    let (new, ()) = under_free_name(name, OUTSIDE, |new| sys::move_to(dir, name, dir, new))?;
    Ok(sys::path_of(dir).join(new))
}
