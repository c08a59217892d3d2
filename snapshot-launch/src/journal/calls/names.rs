//! Calls that make, remove and move names. Each is written down, then made with the caller's
//! rights, and the caller gets the kernel's own answer.

use std::os::fd::{AsFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, linkat, symlinkat, unlinkat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::work::{Reply, Work};
use crate::journal::by_descriptor::{errno_of, path_of};
use crate::journal::paths::{self, Base, Entry, Found};
use crate::journal::records::Leaves;
use crate::journal::stat::{Kind, Stat};
use crate::journal::sys;

/// A path of the caller's: where it begins, and where its text is.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct PathAt(pub(in crate::journal) Base, pub(in crate::journal) u64);

/// What is made under a new name.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) enum Make {
    Directory(Mode),
    Node {
        mode: u32,
        device: u64,
    },
    /// With the place of its text.
    Link(u64),
}

/// A local socket is bound to a path: the kernel makes its file.
pub(in crate::journal) fn bind(work: &mut Work<'_>, path: &[u8]) -> Result<Reply, Errno> {
    if let Some(entry) = entry_of(work, Base(libc::AT_FDCWD), path, false)?
        && !entry.is_dots()
        && work.as_caller(|| entry.now())?.is_none()
    {
        touch(work, &entry, None)?;
    }
    Ok(Reply::Continue)
}

/// An entry, or nothing that a revert could bring back.
fn entry(work: &mut Work<'_>, at: PathAt, follow: bool) -> Result<Option<Entry>, Errno> {
    let PathAt(base, place) = at;
    let path = work.memory.path(place)?;
    entry_of(work, base, &path, follow)
}

fn entry_of(
    work: &mut Work<'_>,
    base: Base,
    path: &[u8],
    follow: bool,
) -> Result<Option<Entry>, Errno> {
    match work.entry(base, path, follow)? {
        Found::Entry(entry) => {
            let is_covered = work.covers(entry.dir.as_fd(), &entry.dir_stat)?;
            Ok(is_covered.then_some(entry))
        }
        Found::Object(_) | Found::InProc => Ok(None),
    }
}

/// Writes an entry down before it changes.
fn touch(work: &mut Work<'_>, entry: &Entry, now: Option<&Stat>) -> Result<(), Errno> {
    let dir = entry.dir.as_fd();
    let touched = work
        .levels()
        .touch_entry(dir, &entry.dir_stat, &entry.name, now);
    work.news.kept(touched)
}

pub(in crate::journal) fn make(
    work: &mut Work<'_>,
    at: PathAt,
    what: Make,
) -> Result<Reply, Errno> {
    let Some(entry) = entry(work, at, false)? else {
        return Ok(Reply::Continue);
    };
    if entry.is_dots() || work.as_caller(|| entry.now())?.is_some() {
        return Err(Errno::EEXIST);
    }
    touch(work, &entry, None)?;
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    let name = entry.name_as_written();
    let (dir, name) = (&entry.dir, name.as_os_str());
    work.acts();
    match what {
        Make::Directory(mode) => work.make_as_caller(|| mkdirat(dir, name, mode))?,
        Make::Node { mode, device } => work.make_as_caller(|| {
            let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
            mknodat(dir, name, kind, Mode::from_bits_truncate(mode), device)
        })?,
        Make::Link(text) => {
            let text = work.memory.path(text)?;
            work.as_caller(|| symlinkat(OsStr::from_bytes(&text), dir, name))?;
        }
    }
    if let Some(stat) = paths::look_at(dir.as_fd(), &entry.name)? {
        work.levels().born(&stat, dir.as_fd(), &entry.name);
    }
    Ok(Reply::Done(0))
}

pub(in crate::journal) fn link(
    work: &mut Work<'_>,
    from: PathAt,
    to: PathAt,
    flags: i32,
) -> Result<Reply, Errno> {
    let flags = AtFlags::from_bits_truncate(flags);
    let Some(new) = entry(work, to, false)? else {
        return Ok(Reply::Continue);
    };
    if new.is_dots() || work.as_caller(|| new.now())?.is_some() {
        return Err(Errno::EEXIST);
    }
    touch(work, &new, None)?;
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    let PathAt(base, place) = from;
    let path = work.memory.path(place)?;
    // The kernel wants a right for it that it looks for in the caller.
    if flags.contains(AtFlags::AT_EMPTY_PATH) {
        let object = match path.is_empty() {
            true => work.descriptor(base.0).map(Some),
            false => work.object(base, &path, flags.contains(AtFlags::AT_SYMLINK_FOLLOW)),
        };
        if let Ok(Some(object)) = object {
            let stat = paths::look(object.as_fd())?;
            work.levels().placed_by_kernel(&stat);
        }
        return Ok(Reply::Continue);
    }
    let follow = flags.contains(AtFlags::AT_SYMLINK_FOLLOW);
    let name = new.name_as_written();
    let (dir, name) = (&new.dir, name.as_os_str());
    match work.entry(base, &path, follow)? {
        Found::InProc => return Err(Errno::EXDEV),
        Found::Object(object) => work.act_as_caller(|| {
            let path = path_of(object.as_fd());
            let follow = AtFlags::AT_SYMLINK_FOLLOW;
            linkat(AT_FDCWD, path.as_c_str(), dir, name, follow)
        })?,
        Found::Entry(old) => work.act_as_caller(|| {
            let old_name = old.name_as_written();
            linkat(&old.dir, old_name.as_os_str(), dir, name, AtFlags::empty())
        })?,
    }
    if let Some(stat) = new.now()? {
        work.levels().placed(&stat);
    }
    Ok(Reply::Done(0))
}

pub(in crate::journal) fn unlink(work: &mut Work<'_>, at: PathAt) -> Result<Reply, Errno> {
    let Some(entry) = entry(work, at, false)? else {
        return Ok(Reply::Continue);
    };
    let stat = work.as_caller(|| entry.now())?.ok_or(Errno::ENOENT)?;
    if is_mount_point(&entry, &stat) {
        return busy(work, &entry, &stat);
    }
    let is_file = stat.kind != Kind::Directory && !entry.is_dots();
    if is_file {
        touch(work, &entry, Some(&stat))?;
        keep_link(work, &entry, &stat)?;
    }
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    remove(work, &entry, &stat, UnlinkatFlags::NoRemoveDir)
}

/// What is about to lose a name gets another one, out of sight.
fn keep_link(work: &mut Work<'_>, entry: &Entry, stat: &Stat) -> Result<(), Errno> {
    if work.levels().is_born(stat) {
        return Ok(());
    }
    let kept = work
        .levels()
        .keep_link(entry.dir.as_fd(), &entry.name, stat);
    work.news.kept(kept)
}

/// Removes a name for good.
fn remove(
    work: &mut Work<'_>,
    entry: &Entry,
    stat: &Stat,
    flags: UnlinkatFlags,
) -> Result<Reply, Errno> {
    let name = entry.name_as_written();
    work.act_as_caller(|| unlinkat(&entry.dir, name.as_os_str(), flags))?;
    if stat.kind == Kind::Directory || stat.nlink == 1 {
        work.levels().gone(stat);
    }
    Ok(Reply::Done(0))
}

pub(in crate::journal) fn rmdir(work: &mut Work<'_>, at: PathAt) -> Result<Reply, Errno> {
    let Some(entry) = entry(work, at, false)? else {
        return Ok(Reply::Continue);
    };
    let stat = work.as_caller(|| entry.now())?.ok_or(Errno::ENOENT)?;
    if is_mount_point(&entry, &stat) {
        return busy(work, &entry, &stat);
    }
    let is_born = work.levels().is_born(&stat);
    let may_go = stat.kind == Kind::Directory && !entry.is_dots();
    if may_go {
        touch(work, &entry, Some(&stat))?;
    }
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    // Only the kernel knows all reasons to refuse, and only for a directory with something in
    // it can it be asked without harm.
    if !may_go || is_born || !is_empty(&entry)? {
        return remove(work, &entry, &stat, UnlinkatFlags::RemoveDir);
    }
    may_remove(work, &entry, &stat)?;
    work.acts();
    let moved =
        work.levels()
            .move_directory_away(entry.dir.as_fd(), &entry.name, &stat, Leaves::Nothing);
    match moved {
        Err(error) => Err(errno_of(&error)),
        moved => {
            work.news.kept(moved)?;
            Ok(Reply::Done(0))
        }
    }
}

/// Whether a directory is empty. The journal looks with its own rights.
fn is_empty(entry: &Entry) -> Result<bool, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = match openat(&entry.dir, entry.name.as_os_str(), flags, Mode::empty()) {
        // The kernel need not read it. Whoever moves it away looks again, and opens it for that.
        Err(Errno::EACCES) => return Ok(true),
        opened => opened?,
    };
    let mut dir = Dir::from_fd(fd)?;
    for name in dir.iter() {
        let name = name?;
        if !matches!(name.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether something is mounted under a name. What lies below the mount can't be seen.
fn is_mount_point(entry: &Entry, stat: &Stat) -> bool {
    stat.mount != entry.dir_stat.mount && !entry.is_dots()
}

/// The answer for a name under which something is mounted. The kernel would look for mounts of
/// the journal's own namespace, and the caller may have another.
fn busy(work: &Work<'_>, entry: &Entry, stat: &Stat) -> Result<Reply, Errno> {
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    may_remove(work, entry, stat)?;
    Err(Errno::EBUSY)
}

/// Whether the caller may remove this from its directory.
fn may_remove(work: &Work<'_>, entry: &Entry, stat: &Stat) -> Result<(), Errno> {
    work.as_caller(|| {
        let rights = AccessFlags::W_OK | AccessFlags::X_OK;
        faccessat(&entry.dir, ".", rights, AtFlags::AT_EACCESS)
    })?;
    let user = work.caller.user();
    let is_sticky = entry.dir_stat.mode & libc::S_ISVTX != 0;
    if is_sticky && stat.uid != user && entry.dir_stat.uid != user && !work.caller.owns_all_files()
    {
        return Err(Errno::EPERM);
    }
    Ok(())
}

pub(in crate::journal) fn rename(
    work: &mut Work<'_>,
    from: PathAt,
    to: PathAt,
    flags: u32,
) -> Result<Reply, Errno> {
    let flags = RenameFlags::from_bits_retain(flags);
    let (from, to) = match (entry(work, from, false)?, entry(work, to, false)?) {
        (Some(from), Some(to)) => (from, to),
        (None, None) => return Ok(Reply::Continue),
        // Nothing moves between two filesystems, and limits of what is covered lie within one
        // only if the user has drawn them.
        (Some(one), None) | (None, Some(one)) => {
            let now = work.as_caller(|| one.now())?;
            touch(work, &one, now.as_ref())?;
            work.levels().is_unsure_of(&one.dir_stat, &one.name);
            if now.is_some_and(|now| now.is_directory()) {
                // What is made in it out there is not seen, and it may come back.
                work.levels().goes_blind();
            }
            if let Some(now) = now.filter(|now| now.kind != Kind::Directory) {
                keep_link(work, &one, &now)?;
            }
            return Ok(Reply::Continue);
        }
    };
    let moved = work.as_caller(|| from.now())?;
    let target = work.as_caller(|| to.now())?;
    if has_moved(work, target.as_ref()) {
        // An empty directory has changed places with the one that was renamed over it.
        let left = moved.filter(|left| {
            let is_other = work.trace.moves != Some(left.id);
            is_other && left.is_directory() && !flags.contains(RenameFlags::RENAME_EXCHANGE)
        });
        if let Some(left) = left {
            remove(work, &from, &left, UnlinkatFlags::RemoveDir)?;
        }
        return Ok(Reply::Done(0));
    }
    let moved = moved.ok_or(Errno::ENOENT)?;
    if from.dir_stat.mount == to.dir_stat.mount {
        for (entry, stat) in [(&from, Some(&moved)), (&to, target.as_ref())] {
            if let Some(stat) = stat.filter(|stat| is_mount_point(entry, stat)) {
                return busy(work, entry, stat);
            }
        }
    }
    let exchanges = flags.contains(RenameFlags::RENAME_EXCHANGE);
    let is_same = target.as_ref().is_some_and(|target| target.id == moved.id);
    let is_wrong = from.is_dots() || to.is_dots();
    if !is_same && !is_wrong {
        touch(work, &from, Some(&moved))?;
        touch(work, &to, target.as_ref())?;
        for (entry, stat) in [(&from, Some(&moved)), (&to, target.as_ref())] {
            if let Some(stat) = stat.filter(|stat| stat.kind == Kind::Directory) {
                keep_directory(work, entry, stat)?;
            }
        }
        if let Some(target) = &target
            && !exchanges
            && !flags.contains(RenameFlags::RENAME_NOREPLACE)
            && moved.kind != Kind::Directory
            && target.kind != Kind::Directory
        {
            keep_link(work, &to, target)?;
        }
    }
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    let (old, new) = (from.name_as_written(), to.name_as_written());
    let (old, new) = (old.as_os_str(), new.as_os_str());
    work.moves(moved.id);
    // One that the kernel has made by itself is known only by its name.
    work.levels().placed(&moved);
    if let Some(target) = target.as_ref().filter(|_| exchanges) {
        work.levels().placed(target);
    }
    let leaves = match flags.contains(RenameFlags::RENAME_WHITEOUT) {
        true => Leaves::Whiteout,
        false => Leaves::Nothing,
    };
    let replaces_directory = !is_wrong
        && !is_same
        && flags.difference(RenameFlags::RENAME_WHITEOUT).is_empty()
        && moved.kind == Kind::Directory
        && target
            .as_ref()
            .is_some_and(|target| target.kind == Kind::Directory && !work.levels().is_born(target))
        && is_empty(&to)?;
    let mut refused = None;
    if let (true, Some(target)) = (replaces_directory, &target) {
        match replace(work, &from, &to, target, leaves)? {
            None => return Ok(Reply::Done(0)),
            // The kernel asks for less where nothing goes the other way, and some filesystems
            // can't exchange.
            Some(errno) => refused = Some((errno, pin(&to)?)),
        }
    }
    work.as_caller(|| renameat2(&from.dir, old, &to.dir, new, flags))?;
    if let (Some((errno, pin)), Some(target)) = (refused, &target) {
        let kept = work
            .levels()
            .comes_back_anew(pin.as_fd(), target, &errno.into());
        work.news.kept(Ok(kept))?;
    }
    // An overlay makes another file of one with several names.
    if moved.nlink > 1 || exchanges {
        for entry in [&from, &to] {
            if let Ok(Some(stat)) = entry.now() {
                work.levels().placed(&stat);
            }
        }
    }
    if let Some(target) = target.filter(|_| !exchanges && !is_same)
        && (target.kind == Kind::Directory || target.nlink == 1)
    {
        work.levels().gone(&target);
    }
    Ok(Reply::Done(0))
}

/// Whether a journal that has died over this call had made the rename.
fn has_moved(work: &Work<'_>, target: Option<&Stat>) -> bool {
    let there = target.map(|target| target.id);
    work.trace.moves.is_some() && work.trace.moves == there
}

/// A directory that moves has its parent written in it.
fn keep_directory(work: &mut Work<'_>, entry: &Entry, stat: &Stat) -> Result<(), Errno> {
    let pin = pin(entry)?;
    let kept = work.levels().keep_properties(pin.as_fd(), stat);
    work.news.kept(kept)
}

fn pin(entry: &Entry) -> Result<OwnedFd, Errno> {
    sys::pin(entry.dir.as_fd(), &entry.name).map_err(|error| errno_of(&error))
}

/// Renames a directory over an empty one, `target`, which moves to a shelf. Others must always see
/// one of the two under the new name, so they change places first. Returns why that can't be;
/// then both are where they were.
///
/// The kernel writes to both for that. If the caller has closed the empty one to himself, it is
/// opened meanwhile: a rename over it would not write to it.
fn replace(
    work: &mut Work<'_>,
    from: &Entry,
    to: &Entry,
    target: &Stat,
    leaves: Leaves,
) -> Result<Option<Errno>, Errno> {
    let (old, new) = (from.name_as_written(), to.name_as_written());
    let exchange = || {
        let (old, new) = (old.as_os_str(), new.as_os_str());
        let flags = RenameFlags::RENAME_EXCHANGE;
        renameat2(&from.dir, old, &to.dir, new, flags)
    };
    // The kernel may take the group's bit away.
    let is_closed = target.uid == work.caller.user() && target.mode & (0o200 | libc::S_ISGID) == 0;
    let set_mode = |work: &Work<'_>, pin: &OwnedFd, mode| {
        work.wardrobe.wear_own();
        sys::set_mode(pin.as_fd(), mode).map_err(|error| errno_of(&error))
    };
    let mode = target.mode & 0o7777;
    let mut exchanged = work.as_caller(exchange);
    let mut opened = None;
    if exchanged == Err(Errno::EACCES) && is_closed {
        let pin = pin(to)?;
        set_mode(work, &pin, mode | 0o700)?;
        opened = Some(pin);
        exchanged = work.as_caller(exchange);
    }
    let replaced = match exchanged {
        Err(errno) => Ok(Some(errno)),
        Ok(()) => {
            let (dir, name) = (from.dir.as_fd(), &from.name);
            let away = work.levels().move_directory_away(dir, name, target, leaves);
            match away {
                Err(error) => work.as_caller(exchange).map(|()| Some(errno_of(&error))),
                kept => work.news.kept(kept).map(|()| None),
            }
        }
    };
    if let Some(pin) = opened {
        set_mode(work, &pin, mode)?;
    }
    replaced
}
