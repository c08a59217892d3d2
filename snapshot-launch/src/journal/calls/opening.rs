//! Calls that open a file for writing. The journal opens it with the caller's rights, keeps
//! its content, and hands the descriptor over: nobody can write before that.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open as open_path, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{ftruncate, truncate};

use super::guarded::{keep_range, will_ask};
use super::way::{self, Opening};
use super::work::{Reply, Work};
use crate::journal::by_descriptor::{path_now, path_of};
use crate::journal::paths::{self, Entry, Found};
use crate::journal::records::Want;
use crate::journal::stat::{Kind, Stat};

/// The flags of an open that changes something.
pub(in crate::journal) use snapshot_core::terms::file_calls::OPEN_TO_CHANGE as TO_CHANGE;

/// Somebody else changes the same name again and again: give up after so many attempts.
const ATTEMPTS: u32 = 100;

pub(in crate::journal) fn open(work: &mut Work<'_>, opening: Opening) -> Result<Reply, Errno> {
    let flags = opening.flags;
    // Such a descriptor writes nothing.
    if flags.contains(OFlag::O_PATH) {
        return Ok(Reply::Continue);
    }
    let path = work.memory.path(opening.path)?;
    let opening = way::seen_from_here(work, opening)?;
    if flags.contains(OFlag::O_TMPFILE) {
        return unnamed(work, opening, &path);
    }
    for _ in 0..ATTEMPTS {
        let done = if flags.contains(OFlag::O_CREAT) {
            create(work, opening, &path)
        } else {
            existing(work, opening, &path)
        };
        match done {
            Ok(Some(_)) if opening.is_unclear || !work.emulates() => {
                // The kernel looks again, and may find something else by then.
                work.levels().goes_blind();
                return Ok(Reply::Continue);
            }
            Ok(Some(reply)) => return Ok(reply),
            // It has changed between two looks.
            Ok(None) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EAGAIN)
}

/// O_TMPFILE: a file without a name, which may get one later.
fn unnamed(work: &mut Work<'_>, opening: Opening, path: &[u8]) -> Result<Reply, Errno> {
    let found = way::object(work, opening, path, true)?;
    let Some(dir) = found else {
        return Ok(Reply::Continue);
    };
    let stat = paths::look(dir.as_fd())?;
    if opening.is_unclear || !work.emulates() || !work.covers(dir.as_fd(), &stat)? {
        return Ok(Reply::Continue);
    }
    let flags = opening.flags | OFlag::O_CLOEXEC;
    let fd = work.make_as_caller(|| openat(&dir, ".", flags, opening.mode))?;
    let made = paths::look(fd.as_fd())?;
    work.levels().born(&made, fd.as_fd(), OsStr::new(""));
    Ok(given(fd, opening.flags))
}

/// Without O_CREAT.
fn existing(work: &mut Work<'_>, opening: Opening, path: &[u8]) -> Result<Option<Reply>, Errno> {
    let follow = !opening.flags.contains(OFlag::O_NOFOLLOW);
    let found = way::object(work, opening, path, follow)?;
    match found {
        Some(object) => open_object(work, &object, opening.flags).map(Some),
        None => Ok(Some(Reply::Continue)),
    }
}

fn create(work: &mut Work<'_>, opening: Opening, path: &[u8]) -> Result<Option<Reply>, Errno> {
    let flags = opening.flags;
    // It may be this call's own file.
    let is_exclusive = flags.contains(OFlag::O_EXCL) && !work.trace.has_acted;
    let follow = !is_exclusive && !flags.contains(OFlag::O_NOFOLLOW);
    let entry = match way::entry(work, opening, path, follow)? {
        Found::InProc => return Ok(Some(Reply::Continue)),
        Found::Object(_) if is_exclusive => return Err(Errno::EEXIST),
        Found::Object(object) => return open_object(work, &object, flags).map(Some),
        Found::Entry(entry) => entry,
    };
    // The kernel makes no file of that name.
    if entry.is_dots() || entry.has_slash() {
        return Ok(Some(Reply::Continue));
    }
    match work.as_caller(|| entry.now())? {
        None => create_new(work, entry, opening),
        Some(_) if is_exclusive => Err(Errno::EEXIST),
        Some(stat) => {
            let opened = open_entry(work, &entry, &stat, opening)?;
            if matches!(opened, Some(Reply::Continue)) {
                // If it vanishes now, the kernel makes a file.
                work.levels().is_unsure_of(&entry.dir_stat, &entry.name);
            }
            Ok(opened)
        }
    }
}

fn create_new(work: &mut Work<'_>, entry: Entry, opening: Opening) -> Result<Option<Reply>, Errno> {
    if !work.covers(entry.dir.as_fd(), &entry.dir_stat)? {
        return Ok(Some(Reply::Continue));
    }
    let touched = work
        .levels()
        .touch_entry(entry.dir.as_fd(), &entry.dir_stat, &entry.name, None);
    work.news.kept(touched)?;
    if opening.is_unclear || !work.emulates() {
        return Ok(Some(Reply::Continue));
    }
    let flags = opening.flags | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    work.acts();
    let made =
        work.make_as_caller(|| openat(&entry.dir, entry.name.as_os_str(), flags, opening.mode));
    match made {
        Ok(fd) => {
            let made = paths::look(fd.as_fd())?;
            work.levels().born(&made, fd.as_fd(), OsStr::new(""));
            Ok(Some(Reply::Give {
                fd,
                close_on_exec: opening.flags.contains(OFlag::O_CLOEXEC),
                made: Some(entry),
            }))
        }
        Err(Errno::EEXIST) if !opening.flags.contains(OFlag::O_EXCL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// With O_CREAT, and there is something of that name. The kernel looks closer then
/// (fs.protected_regular), so the name goes along.
fn open_entry(
    work: &mut Work<'_>,
    entry: &Entry,
    stat: &Stat,
    opening: Opening,
) -> Result<Option<Reply>, Errno> {
    match stat.kind {
        Kind::File => {}
        Kind::Directory => return Err(Errno::EISDIR),
        Kind::Symlink => return Err(Errno::ELOOP),
        _ => {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let name = entry.name.as_os_str();
            let object = match work.as_caller(|| openat(&entry.dir, name, flags, Mode::empty())) {
                Err(Errno::ENOENT) => return Ok(None),
                opened => opened?,
            };
            return open_object(work, &object, opening.flags).map(Some);
        }
    }
    may_be_asked_to_create(&entry.dir_stat, stat, work.caller.user())?;
    let flags = quiet(opening.flags) | OFlag::O_NOFOLLOW;
    let name = entry.name.as_os_str();
    let fd = match work.as_caller(|| openat(&entry.dir, name, flags, Mode::empty())) {
        // It has vanished meanwhile.
        Err(Errno::ENOENT) => return Ok(None),
        Err(Errno::EWOULDBLOCK) => {
            let path = path_now(entry.dir.as_fd()).unwrap_or_default();
            return leave_leased(work, opening.flags, &path.join(name)).map(Some);
        }
        opened => opened?,
    };
    let now = paths::look(fd.as_fd())?;
    if now.id != stat.id {
        return Ok(None);
    }
    // What is kept must not hold the file open: others would see that.
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let pin = open_path(path_of(fd.as_fd()).as_c_str(), flags, Mode::empty())?;
    hand_over(work, fd, &pin, &now, opening.flags).map(Some)
}

/// Opens an object that is there.
fn open_object(work: &mut Work<'_>, object: &OwnedFd, flags: OFlag) -> Result<Reply, Errno> {
    let stat = paths::look(object.as_fd())?;
    match stat.kind {
        Kind::File => {}
        Kind::Directory => return Err(Errno::EISDIR),
        Kind::Symlink => return Err(Errno::ELOOP),
        Kind::Fifo => {
            // Opening it may wait for its reader, and signals must be able to end that.
            if work.covers(object.as_fd(), &stat)? {
                let kept = work.levels().keep_properties(object.as_fd(), &stat);
                work.news.kept(kept)?;
                if flags.contains(OFlag::O_NONBLOCK) && work.emulates() {
                    let path = path_of(object.as_fd());
                    let opened =
                        work.as_caller(|| open_path(path.as_c_str(), quiet(flags), Mode::empty()))?;
                    return Ok(given(opened, flags));
                }
            }
            return Ok(Reply::Continue);
        }
        Kind::Socket | Kind::CharacterDevice | Kind::BlockDevice => return Ok(Reply::Continue),
    }
    let path = path_of(object.as_fd());
    match work.as_caller(|| open_path(path.as_c_str(), quiet(flags), Mode::empty())) {
        Err(Errno::EWOULDBLOCK) => {
            let path = path_now(object.as_fd()).unwrap_or_default();
            leave_leased(work, flags, &path)
        }
        opened => hand_over(work, opened?, object, &stat, flags),
    }
}

/// Somebody has a lease on a file: whoever opens it waits until that one agrees, and nothing of it
/// can be kept before.
fn leave_leased(work: &mut Work<'_>, flags: OFlag, path: &Path) -> Result<Reply, Errno> {
    if flags.contains(OFlag::O_NONBLOCK) {
        return Err(Errno::EWOULDBLOCK);
    }
    work.levels().goes_blind();
    work.news.went_past(&format!(
        "what the program changes in {}: somebody has a lease on it",
        path.display()
    ));
    Ok(Reply::Continue)
}

/// Keeps the content of an open file, does what O_TRUNC asks for, and gives the file away.
fn hand_over(
    work: &mut Work<'_>,
    fd: OwnedFd,
    pin: &OwnedFd,
    stat: &Stat,
    flags: OFlag,
) -> Result<Reply, Errno> {
    if !work.covers(fd.as_fd(), stat)? {
        return Ok(Reply::Continue);
    }
    let truncates = flags.contains(OFlag::O_TRUNC);
    let only_appends = flags.contains(OFlag::O_APPEND)
        && flags & OFlag::O_ACCMODE == OFlag::O_WRONLY
        && !truncates;
    let want = if only_appends { Want::Size } else { Want::All };
    if !work.levels().is_born(stat) {
        let asks = want == Want::All && !truncates && will_ask(work, pin.as_fd(), stat)?;
        if truncates {
            keep_range(work, pin, stat, (0, u64::MAX))?;
        } else if !asks {
            let kept = work.levels().keep_content(pin.as_fd(), stat, want);
            work.news.kept(kept)?;
        }
    }
    work.guards.gives(stat.id);
    if !work.emulates() {
        return Ok(Reply::Continue);
    }
    if truncates {
        work.as_caller(|| match flags & OFlag::O_ACCMODE {
            OFlag::O_RDONLY => truncate(path_of(fd.as_fd()).as_c_str(), 0),
            _ => ftruncate(&fd, 0),
        })?;
    }
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(&fd, FcntlArg::F_SETFL(flags & !OFlag::O_CREAT))?;
    }
    Ok(given(fd, flags))
}

/// The flags for a file that is there. Without waiting: the journal serves all others too. A
/// file that somebody has a lease on is left to the kernel.
fn quiet(flags: OFlag) -> OFlag {
    let not_now = OFlag::O_TRUNC | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
    (flags & !not_now) | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC
}

fn given(fd: OwnedFd, flags: OFlag) -> Reply {
    Reply::Give {
        fd,
        close_on_exec: flags.contains(OFlag::O_CLOEXEC),
        made: None,
    }
}

/// fs.protected_regular: in a directory for everybody, O_CREAT does not open what another user
/// has put there.
fn may_be_asked_to_create(dir: &Stat, file: &Stat, user: u32) -> Result<(), Errno> {
    if dir.mode & libc::S_ISVTX == 0 || file.uid == dir.uid || file.uid == user {
        return Ok(());
    }
    let setting = std::fs::read("/proc/sys/fs/protected_regular").unwrap_or_default();
    let for_others = dir.mode & libc::S_IWOTH != 0;
    let for_group = dir.mode & libc::S_IWGRP != 0;
    match setting.first() {
        Some(b'1') if for_others => Err(Errno::EACCES),
        Some(b'2'..) if for_others || for_group => Err(Errno::EACCES),
        _ => Ok(()),
    }
}
