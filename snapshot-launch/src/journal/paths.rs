//! Finds what a caller's path means, with the caller's eyes: its root, its directory, its
//! `/proc/self`. But for the start of a path, everything here runs with the caller's rights.
//!
//! One call of the kernel's is enough for most paths. Those that lead through links of `/proc`,
//! or from another root, are walked step by step.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::by_descriptor::errno_of;
use super::callers::{Caller, place};
use super::stat::{Kind, Stat};

/// So many links may lead from one path to the next, as in the kernel.
const MOST_LINKS: u32 = 40;

/// Where a path begins: a descriptor of the caller's, or `AT_FDCWD`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base(pub(super) i32);

/// A name in a directory, whether there is anything of that name or not.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dir: OwnedFd,
    pub(super) dir_stat: Stat,
    pub(super) name: OsString,
    /// The path ends in a slash, and so the kernel wants a directory.
    pub(super) has_slash: bool,
}

impl Entry {
    pub(super) fn has_slash(&self) -> bool {
        self.has_slash
    }

    /// The name for a call, as the caller has written it.
    pub(super) fn name_as_written(&self) -> OsString {
        let mut name = self.name.clone();
        if self.has_slash {
            name.push("/");
        }
        name
    }

    /// What is there now.
    ///
    /// # Errors
    /// The kernel's, but for ENOENT.
    pub(super) fn now(&self) -> Result<Option<Stat>, Errno> {
        look_at(self.dir.as_fd(), &self.name)
    }

    /// `.` or `..`: calls that change names refuse it.
    pub(super) fn is_dots(&self) -> bool {
        self.name == "." || self.name == ".."
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    Entry(Entry),
    /// An object behind a link of `/proc`: it may have no name at all.
    Object(OwnedFd),
    /// Something of `/proc` itself.
    InProc,
}

/// What a descriptor stands for now.
///
/// # Errors
/// The kernel's.
pub(super) fn look(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    Stat::of_fd(fd).map_err(|error| errno_of(&error))
}

/// What a directory has under a name now.
///
/// # Errors
/// The kernel's, but for ENOENT.
pub(super) fn look_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>, Errno> {
    Stat::of(dir, name).map_err(|error| errno_of(&error))
}

/// The entry that a path names. A link in the last place is followed if `follow`.
///
/// # Errors
/// What the caller would get from the kernel.
pub(super) fn entry(
    caller: &Caller,
    start: Option<OwnedFd>,
    path: &[u8],
    follow: bool,
) -> Result<Found, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if caller.root.is_some() {
        return walk(caller, start, path, follow);
    }
    let (parent, name, has_slash) = split(path);
    let parent = if parent.is_empty() { b"." } else { parent };
    let dir = match open_plain(start.as_ref(), parent, OFlag::O_PATH | OFlag::O_DIRECTORY) {
        Ok(dir) => dir,
        // A link of `/proc`, or something that this process does not have in its `/proc/self`;
        // else the walk ends with the same error.
        Err(_) => return walk(caller, start, path, follow),
    };
    if is_in_proc(dir.as_fd())? {
        return walk(caller, start, path, follow);
    }
    let entry = Entry {
        dir_stat: look(dir.as_fd())?,
        dir,
        name: OsString::from_vec(name.to_vec()),
        has_slash,
    };
    if (follow || has_slash) && entry.now()?.is_some_and(|stat| stat.kind == Kind::Symlink) {
        return walk(caller, start, path, follow);
    }
    Ok(Found::Entry(entry))
}

/// The object that a path leads to, as an `O_PATH` descriptor. `None` in `/proc`.
///
/// # Errors
/// As [`entry`].
pub(super) fn object(
    caller: &Caller,
    start: Option<OwnedFd>,
    path: &[u8],
    follow: bool,
) -> Result<Option<OwnedFd>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if caller.root.is_none() {
        let last = if follow {
            OFlag::empty()
        } else {
            OFlag::O_NOFOLLOW
        };
        // As above.
        if let Ok(fd) = open_plain(start.as_ref(), path, OFlag::O_PATH | last) {
            return Ok((!is_in_proc(fd.as_fd())?).then_some(fd));
        }
    }
    match walk(caller, start, path, follow)? {
        Found::Object(fd) => Ok(Some(fd)),
        Found::InProc => Ok(None),
        Found::Entry(entry) => {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let name = entry.name_as_written();
            openat(&entry.dir, name.as_os_str(), flags, Mode::empty()).map(Some)
        }
    }
}

/// Where a path begins, if it is relative. The journal asks with its own rights: the kernel
/// shows the descriptors of a process that has changed its user to root alone.
///
/// # Errors
/// EBADF, ENOENT.
pub(super) fn start(caller: &Caller, base: Base, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    match (path, base) {
        ([b'/', ..], _) => Ok(None),
        (_, Base(libc::AT_FDCWD)) => caller.working_directory().map(Some),
        (_, Base(number)) => caller.descriptor(number).map(Some),
    }
}

/// Opens without links of `/proc`.
fn open_plain(start: Option<&OwnedFd>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let start = start.map_or(AT_FDCWD, AsFd::as_fd);
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match openat2(start, OsStr::from_bytes(path), how) {
            // Somebody renames beside us.
            Err(Errno::EAGAIN) => {}
            opened => return opened,
        }
    }
}

/// The directory's part, the last name, and whether slashes follow it.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8], bool) {
    let end = path.iter().rposition(|byte| *byte != b'/');
    let Some(end) = end.map(|at| at + 1) else {
        return (b"/", b".", false);
    };
    let has_slash = end < path.len();
    let path = &path[..end];
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (b"/", &path[1..], has_slash),
        Some(at) => (&path[..at], &path[at + 1..], has_slash),
        None => (b"", path, has_slash),
    }
}

/// Whether it is something of `/proc`.
///
/// # Errors
/// The kernel's.
pub(super) fn is_in_proc(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // Those without a device have no major number, so most files need no second call.
    if nix::sys::stat::major(look(fd)?.id.dev) != 0 {
        return Ok(false);
    }
    Ok(fstatfs(fd)?.filesystem_type() == PROC_SUPER_MAGIC)
}

/// Walks a path from name to name, as the kernel would for the caller.
fn walk(
    caller: &Caller,
    start: Option<OwnedFd>,
    path: &[u8],
    follow: bool,
) -> Result<Found, Errno> {
    let root = match &caller.root {
        Some(root) => root.try_clone().map_err(|_| Errno::EMFILE)?,
        None => open(
            "/",
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?,
    };
    let root_place = place(&look(root.as_fd())?);
    let mut dir = match start {
        Some(dir) => dir,
        None => root.try_clone().map_err(|_| Errno::EMFILE)?,
    };
    let mut has_slash = path.last() == Some(&b'/');
    // The names that are left, the next one last.
    let mut left: Vec<Vec<u8>> = Vec::new();
    push(&mut left, path);
    let mut links = 0;
    loop {
        let Some(name) = left.pop() else {
            // Nothing but slashes and dots.
            return Ok(Found::Entry(Entry {
                dir_stat: look(dir.as_fd())?,
                dir,
                name: OsString::from("."),
                has_slash,
            }));
        };
        let is_last = left.is_empty();
        if name == b".." {
            if place(&look(dir.as_fd())?) != root_place {
                dir = step(dir.as_fd(), OsStr::new(".."), true)?;
            }
            continue;
        }
        let name = OsString::from_vec(name);
        let in_proc = is_in_proc(dir.as_fd())?;
        let stat = look_at(dir.as_fd(), &name)?;
        let Some(stat) = stat else {
            return match is_last {
                true if in_proc => Ok(Found::InProc),
                true => Ok(Found::Entry(Entry {
                    dir_stat: look(dir.as_fd())?,
                    dir,
                    name,
                    has_slash,
                })),
                false => Err(Errno::ENOENT),
            };
        };
        if stat.kind == Kind::Symlink && (!is_last || follow || has_slash) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            if in_proc {
                match follow_in_proc(caller, dir.as_fd(), &name)? {
                    InProc::Names(text) => push(&mut left, &text),
                    InProc::Own(own) => dir = own,
                    InProc::Object(object) if is_last => return Ok(Found::Object(object)),
                    InProc::Object(object) => dir = object,
                }
                continue;
            }
            may_follow(caller, dir.as_fd(), &stat)?;
            let text = readlinkat(&dir, name.as_os_str())?.into_vec();
            if text.first() == Some(&b'/') {
                dir = root.try_clone().map_err(|_| Errno::EMFILE)?;
            }
            if is_last {
                has_slash |= text.last() == Some(&b'/');
            }
            push(&mut left, &text);
            continue;
        }
        if is_last {
            return if in_proc {
                Ok(Found::InProc)
            } else {
                Ok(Found::Entry(Entry {
                    dir_stat: look(dir.as_fd())?,
                    dir,
                    name,
                    has_slash,
                }))
            };
        }
        dir = step(dir.as_fd(), &name, false)?;
    }
}

/// Puts a path's names before those that are left.
fn push(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    left.extend(names.rev().map(<[u8]>::to_vec));
}

fn step(dir: BorrowedFd<'_>, name: &OsStr, follow: bool) -> Result<OwnedFd, Errno> {
    let last = if follow {
        OFlag::empty()
    } else {
        OFlag::O_NOFOLLOW
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | last;
    openat(dir, name, flags, Mode::empty())
}

/// Where a link of `/proc` leads.
enum InProc {
    /// To a name beside it.
    Names(Vec<u8>),
    /// To the caller's own directory.
    Own(OwnedFd),
    /// To an object that the text of the link only describes.
    Object(OwnedFd),
}

fn follow_in_proc(caller: &Caller, dir: BorrowedFd<'_>, name: &OsStr) -> Result<InProc, Errno> {
    /// The first directory of every `/proc`.
    const TOP: u64 = 1;
    if look(dir)?.id.ino != TOP {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        return openat(dir, name, flags, Mode::empty()).map(InProc::Object);
    }
    if name == "self" || name == "thread-self" {
        return caller.directory().map(InProc::Own);
    }
    let text = readlinkat(dir, name)?;
    Ok(InProc::Names(text.into_vec()))
}

/// fs.protected_symlinks: in a directory for everybody only the caller's own links are
/// followed, or those of the directory's owner.
fn may_follow(caller: &Caller, dir: BorrowedFd<'_>, link: &Stat) -> Result<(), Errno> {
    let stat = look(dir)?;
    let for_everybody = libc::S_ISVTX | libc::S_IWOTH;
    let is_for_everybody = stat.mode & for_everybody == for_everybody;
    if !is_for_everybody || link.uid == stat.uid || link.uid == caller.user() {
        return Ok(());
    }
    let setting = std::fs::read("/proc/sys/fs/protected_symlinks");
    match setting.as_deref() {
        Ok([b'0', ..]) => Ok(()),
        _ => Err(Errno::EACCES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        let parts: [(&str, &str, &str, bool); 8] = [
            ("a", "", "a", false),
            ("a/", "", "a", true),
            ("/a", "/", "a", false),
            ("a/b", "a", "b", false),
            ("/a/b//", "/a", "b", true),
            ("/", "/", ".", false),
            ("//", "/", ".", false),
            ("a/..", "a", "..", false),
        ];
        for (path, dir, name, has_slash) in parts {
            let expected = (dir.as_bytes(), name.as_bytes(), has_slash);
            assert_eq!(split(path.as_bytes()), expected, "{path}");
        }
    }
}
