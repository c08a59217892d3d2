//! The system calls of the journal that `nix` doesn't wrap, and those that it always calls in
//! one way.
//!
//! The journal holds objects by `O_PATH` descriptors. Many calls don't take those, but all take
//! the path of the descriptor in `/proc/self/fd`: it leads to that very object, whatever its
//! name is by now.
#![expect(unsafe_code, reason = "system calls that nix has no wrapper for")]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, unlinkat};
use serde::{Deserialize, Serialize};

/// What the journal asks of `statx`.
const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

/// `FICLONE` and the two that read and write an inode's flags (`linux/fs.h`).
const FICLONE: libc::Ioctl = 0x4004_9409;
const FS_IOC_GETFLAGS: libc::Ioctl = 0x8008_6601;
const FS_IOC_SETFLAGS: libc::Ioctl = 0x4008_6602;

/// `NS_GET_USERNS` (`linux/nsfs.h`).
const NS_GET_USERNS: libc::Ioctl = 0xb701;

/// A moment as filesystems store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// A descriptor's path in `/proc`.
fn by_proc(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn by_proc_c(fd: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(CString::new(by_proc(fd))?)
}

/// What is under `name`, which isn't followed; of the descriptor itself for an empty name.
pub(super) fn statx(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<libc::statx> {
    let mut flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    if name.is_empty() {
        flags |= libc::AT_EMPTY_PATH;
    }
    let ask = |name: &CStr| {
        // SAFETY: `statx` is plain numbers, and zero is a value of each.
        let mut answer: libc::statx = unsafe { std::mem::zeroed() };
        // SAFETY: `statx` reads a string that ends and writes one structure; both live here.
        let result =
            unsafe { libc::statx(dir.as_raw_fd(), name.as_ptr(), flags, MASK, &raw mut answer) };
        Errno::result(result).map(|_| answer)
    };
    Ok(name.with_nix_path(ask)??)
}

/// `AT_HANDLE_FID` (`linux/fcntl.h`): a handle to compare, and not to open. Overlays give only such.
const AT_HANDLE_FID: libc::c_int = 0x200;

/// What tells an object apart from a later one with its number that was born in the same tick of the
/// kernel's clock: a hash of the handle by which network filesystems know it. `None` where the
/// filesystem gives none.
pub(super) fn generation(dir: BorrowedFd<'_>, name: &OsStr) -> Option<u64> {
    #[repr(C)]
    struct Handle {
        length: u32,
        kind: i32,
        bytes: [u8; MOST_BYTES as usize],
    }
    /// `MAX_HANDLE_SZ` (`linux/exportfs.h`).
    const MOST_BYTES: u32 = 128;
    let ask = |name: &CStr, flags: libc::c_int| {
        let mut handle = Handle {
            length: MOST_BYTES,
            kind: 0,
            bytes: [0; MOST_BYTES as usize],
        };
        let mut mount = 0_i32;
        // SAFETY: reads a string that ends, and writes a handle of this length and a number.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                dir.as_raw_fd(),
                name.as_ptr(),
                &raw mut handle,
                &raw mut mount,
                flags,
            )
        };
        let bytes = handle.bytes.get(..handle.length as usize)?;
        (result == 0).then(|| {
            let mut hasher = DefaultHasher::new();
            (handle.kind, bytes).hash(&mut hasher);
            hasher.finish()
        })
    };
    let flags = match name.is_empty() {
        true => libc::AT_EMPTY_PATH,
        false => 0,
    };
    name.with_nix_path(|name| ask(name, flags).or_else(|| ask(name, flags | AT_HANDLE_FID)))
        .ok()?
}

/// Opens `name` in `dir` as a pin: it holds the object and grants nothing.
pub(super) fn pin(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// Descriptors that the journal needs for its work.
const OWN_DESCRIPTORS: u64 = 160;

/// A pin that is to stay. The lowest free number is always used next, so a high one says how many
/// there are.
///
/// # Errors
/// EMFILE if there are too many already.
pub(super) fn to_hold(pin: OwnedFd) -> io::Result<OwnedFd> {
    let (most, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let number = u64::from(pin.as_raw_fd().unsigned_abs());
    if number + OWN_DESCRIPTORS < most {
        Ok(pin)
    } else {
        Err(Errno::EMFILE.into())
    }
}

/// The same for a directory, by its path.
pub(super) fn pin_directory(path: &std::path::Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(openat(AT_FDCWD, path, flags, Mode::empty())?)
}

/// Opens what a pin holds.
pub(super) fn reopen(pin: BorrowedFd<'_>, flags: OFlag) -> io::Result<File> {
    let path = by_proc(pin);
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    Ok(openat(AT_FDCWD, path.as_str(), flags, Mode::empty())?.into())
}

/// The same for reading, without a trace in its access time where the kernel allows it.
pub(super) fn reopen_quietly(pin: BorrowedFd<'_>) -> io::Result<File> {
    match reopen(pin, OFlag::O_RDONLY | OFlag::O_NOATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => reopen(pin, OFlag::O_RDONLY),
        other => other,
    }
}

/// The path that the kernel gives for a descriptor. It is for messages, and for directories,
/// which have one name.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> PathBuf {
    nix::fcntl::readlink(by_proc(fd).as_str()).map_or_else(|_| by_proc(fd).into(), PathBuf::from)
}

/// The same, and whether the object has lost that name: the kernel marks it at its end.
pub(super) fn path_and_whether_gone(fd: BorrowedFd<'_>) -> (PathBuf, bool) {
    let path = path_of(fd);
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => (PathBuf::from(OsStr::from_bytes(before)), true),
        None => (path, false),
    }
}

/// Makes a file for the journal alone, to be written and read.
pub(super) fn create(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    Ok(openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Renames, never over something.
pub(super) fn move_to(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    match renameat2(dir, name, to, new, RenameFlags::RENAME_NOREPLACE) {
        // A filesystem that doesn't know the flag. Nobody else writes there meanwhile.
        Err(Errno::EINVAL) if matches!(statx_is_absent(to, new), Ok(true)) => {
            renameat(dir, name, to, new)?;
        }
        other => other?,
    }
    Ok(())
}

/// The same, and leaves a whiteout under the old name: the mark of an overlay that nothing is
/// there.
pub(super) fn move_from_whiteout(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_WHITEOUT;
    Ok(renameat2(dir, name, to, new, flags)?)
}

fn statx_is_absent(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match statx(dir, name) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
        other => other.map(|_| false),
    }
}

/// Another name for what `name` is; a symbolic link is not followed.
pub(super) fn link(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> io::Result<()> {
    links::allowed()?;
    Ok(linkat(dir, name, to, new, AtFlags::empty())?)
}

/// Another name for what a pin holds. The kernel refuses it to an object without any.
pub(super) fn link_pinned(pin: BorrowedFd<'_>, to: BorrowedFd<'_>, new: &OsStr) -> io::Result<()> {
    let path = by_proc(pin);
    Ok(linkat(
        AT_FDCWD,
        path.as_str(),
        to,
        new,
        AtFlags::AT_SYMLINK_FOLLOW,
    )?)
}

/// Removes a name that is no directory's.
pub(super) fn unlink(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?)
}

/// Removes an empty directory.
pub(super) fn remove_directory(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(unlinkat(dir, name, UnlinkatFlags::RemoveDir)?)
}

/// Sets the permissions of what a pin holds.
pub(super) fn set_mode(pin: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let path = by_proc(pin);
    let mode = Mode::from_bits_truncate(mode);
    Ok(fchmodat(
        AT_FDCWD,
        path.as_str(),
        mode,
        FchmodatFlags::FollowSymlink,
    )?)
}

/// Sets the owner of what a pin holds.
pub(super) fn set_owner(pin: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(fchownat(
        pin,
        "",
        Some(uid),
        Some(gid),
        AtFlags::AT_EMPTY_PATH,
    )?)
}

/// Sets access and modification time of what a pin holds.
pub(super) fn set_times(
    pin: BorrowedFd<'_>,
    accessed: Timestamp,
    modified: Timestamp,
) -> io::Result<()> {
    let spec = |time: Timestamp| libc::timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    let times = [spec(accessed), spec(modified)];
    // SAFETY: `utimensat` reads two times and a string that ends; both live here.
    let result = unsafe {
        libc::utimensat(
            pin.as_raw_fd(),
            c"".as_ptr(),
            times.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// The names of the extended attributes that this process may see. None where the filesystem
/// has none.
pub(super) fn xattr_names(pin: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let path = by_proc_c(pin)?;
    let mut names = [0_u8; 1024];
    // SAFETY: `listxattr` reads a string that ends and writes at most the given length.
    let length = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let list = match Errno::result(length) {
        Ok(length) => names[..length.cast_unsigned()].to_vec(),
        Err(Errno::ERANGE) => all_xattr_names(&path)?,
        Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let names = list
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

/// The longest list of names, and the longest value, that the kernel passes on.
const LONGEST: usize = 65536;

fn all_xattr_names(path: &CStr) -> io::Result<Vec<u8>> {
    let mut names = vec![0_u8; LONGEST];
    // SAFETY: as above.
    let length = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(Errno::result(length)?.cast_unsigned());
    Ok(names)
}

/// The value of an extended attribute.
pub(super) fn xattr(pin: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<u8>> {
    let (path, name) = (by_proc_c(pin)?, CString::new(name.as_bytes())?);
    let mut value = vec![0_u8; LONGEST];
    // SAFETY: `getxattr` reads two strings that end and writes at most the given length.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(Errno::result(length)?.cast_unsigned());
    value.shrink_to_fit();
    Ok(value)
}

/// Sets an extended attribute.
pub(super) fn set_xattr(pin: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> io::Result<()> {
    let (path, name) = (by_proc_c(pin)?, CString::new(name.as_bytes())?);
    // SAFETY: `setxattr` reads two strings that end and the given length of a live slice.
    let result = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// Removes an extended attribute.
pub(super) fn remove_xattr(pin: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let (path, name) = (by_proc_c(pin)?, CString::new(name.as_bytes())?);
    // SAFETY: `removexattr` reads two strings that end.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })?;
    Ok(())
}

/// Makes `to` share the blocks of `from`, where the filesystem can.
pub(super) fn clone_blocks(from: &File, to: &File) -> Result<(), Errno> {
    // SAFETY: `FICLONE` takes a descriptor as its argument; both are open.
    let result = unsafe { libc::ioctl(to.as_raw_fd(), FICLONE, from.as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// Sets and clears flags of an inode (`FS_*_FL`), and leaves the others.
pub(super) fn change_flags(file: &File, set: i32, clear: i32) -> io::Result<()> {
    let mut flags: libc::c_int = 0;
    // SAFETY: the kernel writes an `int` there, whatever the request's number says.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_GETFLAGS, &raw mut flags) };
    Errno::result(result)?;
    flags = (flags | set) & !clear;
    // SAFETY: the kernel reads an `int` there.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_SETFLAGS, &raw const flags) };
    Errno::result(result)?;
    Ok(())
}

/// Where data (`SEEK_DATA`) or a hole (`SEEK_HOLE`) comes next.
pub(super) fn seek(file: &File, from: u64, whence: libc::c_int) -> Result<u64, Errno> {
    let from = libc::off_t::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: `lseek` takes numbers alone, and the file is open.
    let at = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
    Errno::result(at).map(libc::off_t::cast_unsigned)
}

/// Copies bytes to the same place in another file. Returns how many.
pub(super) fn copy_range(from: &File, to: &File, at: u64, length: usize) -> Result<usize, Errno> {
    let mut input = libc::off64_t::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    let mut output = input;
    // SAFETY: `copy_file_range` reads and writes two numbers, which live here, and takes two open
    // files.
    let copied = unsafe {
        libc::copy_file_range(
            from.as_raw_fd(),
            &raw mut input,
            to.as_raw_fd(),
            &raw mut output,
            length,
            0,
        )
    };
    Errno::result(copied).map(isize::cast_unsigned)
}

/// The user namespace that a namespace belongs to.
pub(super) fn owner_of_namespace(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: the request takes no argument, and the descriptor is open.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS) };
    let owner = Errno::result(owner)?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}

/// Opens a directory that a pin holds, to list it.
pub(super) fn list(dir: BorrowedFd<'_>) -> io::Result<nix::dir::Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let quiet = openat(dir, ".", flags | OFlag::O_NOATIME, Mode::empty());
    let fd = match quiet {
        Err(Errno::EPERM) => openat(dir, ".", flags, Mode::empty())?,
        other => other?,
    };
    Ok(nix::dir::Dir::from_fd(fd)?)
}

/// Filesystems without hard links, for tests.
#[cfg(not(test))]
mod links {
    pub(super) fn allowed() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod links {
    use std::cell::Cell;

    thread_local! {
        static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    pub(in super::super) fn refuse(refused: bool) {
        REFUSED.set(refused);
    }

    pub(super) fn allowed() -> std::io::Result<()> {
        match REFUSED.get() {
            true => Err(nix::errno::Errno::EPERM.into()),
            false => Ok(()),
        }
    }
}
