//! Calls that change properties: modes, owners, times, extended attributes and flags. Those
//! that name a path are made here, on the object that was written down. Those that name a
//! descriptor are left to the kernel: it finds the same object.
#![expect(unsafe_code, reason = "system calls on extended attributes")]

use std::ffi::{CString, c_void};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Uid, fchownat};

use super::names::PathAt;
use super::work::{Reply, Work};
use crate::journal::by_descriptor::path_of;
use crate::journal::paths;
use crate::journal::stat::{Kind, Stat};

/// The longest name and value of an extended attribute.
const NAME_BYTES: usize = 256;
const VALUE_BYTES: usize = 65536;

/// What a call changes.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) enum Change {
    Mode(u32),
    /// User and group; `u32::MAX` leaves one as it is.
    Owner(u32, u32),
    /// Access and modification; without them both become now.
    Times(Option<[libc::timespec; 2]>),
    SetAttribute {
        name: u64,
        value: u64,
        size: u64,
        flags: i32,
    },
    RemoveAttribute {
        name: u64,
    },
    /// The kernel makes it.
    Other,
}

/// A call that names a path. An empty one with `is_empty_allowed` means the descriptor.
pub(in crate::journal) fn of_path(
    work: &mut Work<'_>,
    at: PathAt,
    follow: bool,
    is_empty_allowed: bool,
    change: Change,
) -> Result<Reply, Errno> {
    let PathAt(base, place) = at;
    // utimensat(2) without a path means the descriptor too.
    let path = match place {
        0 => Vec::new(),
        place => work.memory.path(place)?,
    };
    if path.is_empty() && (is_empty_allowed || place == 0) {
        return of_descriptor(work, base.0);
    }
    let Some(object) = work.object(base, &path, follow)? else {
        return Ok(Reply::Continue);
    };
    let Some(stat) = keep(work, &object)? else {
        return Ok(Reply::Continue);
    };
    if !work.emulates() {
        work.levels().will_lose_sight_of(&stat);
        return Ok(Reply::Continue);
    }
    work.levels().loses_sight_of(&stat);
    let is_link = stat.kind == Kind::Symlink;
    apply(work, &object, is_link, change)
}

/// A call that names a descriptor.
pub(in crate::journal) fn of_descriptor(work: &mut Work<'_>, number: i32) -> Result<Reply, Errno> {
    // An error is the kernel's to tell.
    if let Ok(object) = work.descriptor(number)
        && let Some(stat) = keep(work, &object)?
    {
        work.levels().will_lose_sight_of(&stat);
    }
    Ok(Reply::Continue)
}

/// Keeps the properties, of an object that was like this. `None` if nothing is to be kept.
fn keep(work: &mut Work<'_>, object: &OwnedFd) -> Result<Option<Stat>, Errno> {
    let stat = paths::look(object.as_fd())?;
    if !work.covers(object.as_fd(), &stat)? {
        return Ok(None);
    }
    let kept = work.levels().keep_properties(object.as_fd(), &stat);
    work.news.kept(kept)?;
    Ok(Some(stat))
}

fn apply(
    work: &mut Work<'_>,
    object: &OwnedFd,
    is_link: bool,
    change: Change,
) -> Result<Reply, Errno> {
    let path = path_of(object.as_fd());
    match change {
        // The kernel refuses it in its own words.
        Change::Mode(_) if is_link => return Ok(Reply::Continue),
        Change::Other => return Ok(Reply::Continue),
        Change::Mode(mode) => work.as_caller(|| {
            let mode = Mode::from_bits_truncate(mode);
            fchmodat(
                AT_FDCWD,
                path.as_c_str(),
                mode,
                FchmodatFlags::FollowSymlink,
            )
        })?,
        Change::Owner(user, group) => work.as_caller(|| {
            let user = (user != u32::MAX).then(|| Uid::from_raw(user));
            let group = (group != u32::MAX).then(|| Gid::from_raw(group));
            fchownat(object, "", user, group, AtFlags::AT_EMPTY_PATH)
        })?,
        Change::Times(times) => work.as_caller(|| set_times(object, times))?,
        Change::SetAttribute {
            name,
            value,
            size,
            flags,
        } => {
            let name = attribute(work, name)?;
            let size = usize::try_from(size).map_err(|_| Errno::E2BIG)?;
            if size > VALUE_BYTES {
                return Err(Errno::E2BIG);
            }
            let mut bytes = vec![0; size];
            work.memory.read(value, &mut bytes)?;
            work.as_caller(|| {
                let bytes = bytes.as_ptr().cast::<c_void>();
                // SAFETY: reads the two texts and as many bytes as there are.
                let done =
                    unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), bytes, size, flags) };
                Errno::result(done)
            })?;
        }
        Change::RemoveAttribute { name } => {
            let name = attribute(work, name)?;
            work.as_caller(|| {
                // SAFETY: reads the two texts.
                Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
            })?;
        }
    }
    Ok(Reply::Done(0))
}

fn attribute(work: &Work<'_>, place: u64) -> Result<CString, Errno> {
    let name = work.memory.text(place, NAME_BYTES, Errno::ERANGE)?;
    CString::new(name).map_err(|_| Errno::ERANGE)
}

/// utimensat(2), which tells "now" from "set to what it is now" by the right that it wants.
fn set_times(object: &OwnedFd, times: Option<[libc::timespec; 2]>) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let times = times
        .as_ref()
        .map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: reads an empty text, and two times if there are any.
    let done = unsafe {
        libc::syscall(
            libc::SYS_utimensat,
            object.as_raw_fd(),
            c"".as_ptr(),
            times,
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::result(done).map(drop)
}
