//! Calls that the wrappers lack: extended attributes, writing through a shared map, and opening
//! and renaming by raw system calls, as a program without libc does.
#![expect(unsafe_code, reason = "makes the calls")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::NixPath;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, msync, munmap};

/// Sets an extended attribute of what the path leads to, or of a link itself.
pub fn set_attribute(
    path: &(impl NixPath + ?Sized),
    name: &CStr,
    value: &[u8],
    follow: bool,
) -> nix::Result<()> {
    let answer = path.with_nix_path(|path| {
        let (path, value, length) = (path.as_ptr(), value.as_ptr().cast(), value.len());
        if follow {
            // SAFETY: reads two strings up to their NUL, and the live value.
            unsafe { libc::setxattr(path, name.as_ptr(), value, length, 0) }
        } else {
            // SAFETY: as above.
            unsafe { libc::lsetxattr(path, name.as_ptr(), value, length, 0) }
        }
    })?;
    Errno::result(answer).map(drop)
}

/// Sets an extended attribute of an open file.
pub fn set_attribute_of(file: impl AsFd, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let file = file.as_fd().as_raw_fd();
    let (value, length) = (value.as_ptr().cast(), value.len());
    // SAFETY: reads the name up to its NUL, and the live value.
    let answer = unsafe { libc::fsetxattr(file, name.as_ptr(), value, length, 0) };
    Errno::result(answer).map(drop)
}

/// Removes an extended attribute.
pub fn remove_attribute(path: &(impl NixPath + ?Sized), name: &CStr) -> nix::Result<()> {
    let answer = path.with_nix_path(|path| {
        // SAFETY: reads two strings up to their NUL.
        unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }
    })?;
    Errno::result(answer).map(drop)
}

/// Writes into a file through a shared map of its first page, and has it written back. The kernel
/// itself writes into the map: where the file has become shorter, that is an error and no signal.
pub fn write_through_map(file: impl AsFd, at: usize, bytes: &[u8]) -> nix::Result<()> {
    const PAGE: usize = 4096;
    let length = std::num::NonZeroUsize::new(PAGE).expect("not zero");
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let bytes = &bytes[..bytes.len().min(PAGE - at)];
    let (from, to) = nix::unistd::pipe()?;
    nix::unistd::write(&to, bytes)?;
    // SAFETY: a new map at a place that the kernel chooses.
    let map = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0) }?;
    // SAFETY: `at` is inside the page.
    let target = unsafe { map.cast::<u8>().add(at) };
    // SAFETY: writes at most as many bytes as are in the page behind `at`, which nobody refers to.
    let read = unsafe { libc::read(from.as_raw_fd(), target.as_ptr().cast(), bytes.len()) };
    let read = Errno::result(read).map(drop);
    // SAFETY: the map made above.
    let written = unsafe { msync(map, PAGE, MsFlags::MS_SYNC) };
    // SAFETY: the map made above, which nobody refers to.
    unsafe { munmap(map, PAGE) }?;
    read.and(written)
}

/// `open` by its own number, which libc does not use any more.
pub fn raw_open(path: &(impl NixPath + ?Sized), flags: i32, mode: u32) -> nix::Result<OwnedFd> {
    let answer = path.with_nix_path(|path| {
        // SAFETY: reads a string up to its NUL.
        unsafe { libc::syscall(libc::SYS_open, path.as_ptr(), flags, mode) }
    })?;
    owned(answer)
}

/// `creat` by its own number.
pub fn raw_creat(path: &(impl NixPath + ?Sized), mode: u32) -> nix::Result<OwnedFd> {
    let answer = path.with_nix_path(|path| {
        // SAFETY: reads a string up to its NUL.
        unsafe { libc::syscall(libc::SYS_creat, path.as_ptr(), mode) }
    })?;
    owned(answer)
}

/// `openat2`, which resolves nothing outside the working directory.
pub fn open_beneath(path: &(impl NixPath + ?Sized), flags: i32, mode: u32) -> nix::Result<OwnedFd> {
    let flags = u64::from(flags.cast_unsigned() | libc::O_CLOEXEC.cast_unsigned());
    let how = [flags, u64::from(mode), libc::RESOLVE_BENEATH];
    let answer = path.with_nix_path(|path| {
        let (path, how) = (path.as_ptr(), how.as_ptr());
        // SAFETY: reads a string up to its NUL, and three numbers, as the call wants them.
        unsafe { libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path, how, 24) }
    })?;
    owned(answer)
}

/// A call with one or two paths by its own number: `rename`, `unlink`, `rmdir` and their kind.
pub fn raw(call: i64, first: &(impl NixPath + ?Sized), second: &[u8]) -> nix::Result<()> {
    let answer = first.with_nix_path(|first| {
        second.with_nix_path(|second| {
            // SAFETY: reads one or two strings up to their NUL; no such call writes.
            unsafe { libc::syscall(call, first.as_ptr(), second.as_ptr()) }
        })
    })??;
    Errno::result(answer).map(drop)
}

fn owned(answer: i64) -> nix::Result<OwnedFd> {
    let number = Errno::result(answer)?;
    let number = i32::try_from(number).expect("a descriptor is small");
    // SAFETY: the kernel has just made it, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
