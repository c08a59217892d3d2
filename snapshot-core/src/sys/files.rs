//! Descriptors and their files.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "file system calls")]

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::{Errno, Result, arg, check, plain, small, with};
use crate::arch::syscall;

/// close(2). Even after an error the descriptor is closed.
pub fn close(fd: i32) {
    let _ = plain(libc::SYS_close, [arg(fd), 0, 0, 0, 0, 0]);
}

/// openat(2) for reading, close-on-exec.
///
/// # Errors
/// As the manual page says.
pub(crate) fn open_to_read(path: &CStr, extra_flags: i32) -> Result<i32> {
    open(path, libc::O_RDONLY | extra_flags)
}

/// getdents64(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn getdents(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: getdents64 writes at most the length given, which is the buffer's.
    check(unsafe {
        syscall(
            libc::SYS_getdents64,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
                0,
                0,
                0,
            ],
        )
    })
}

/// lseek(2)
///
/// # Errors
/// ESPIPE if the descriptor has no offset.
pub(crate) fn lseek(fd: i32, offset: i64, whence: i32) -> Result<i64> {
    plain(
        libc::SYS_lseek,
        [
            arg(fd),
            usize::from_ne_bytes(offset.to_ne_bytes()),
            arg(whence),
            0,
            0,
            0,
        ],
    )
    .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

/// The mode and identity of a file.
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// The device of a special file.
    pub(crate) special: u64,
    pub(crate) bytes: u64,
    /// How many names it has.
    pub(crate) links: u64,
    /// User and group.
    pub(crate) owner: (u32, u32),
}

/// fstat(2)
///
/// # Errors
/// EBADF and kin.
pub(crate) fn fstat(fd: i32) -> Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: one `struct stat` is written, which the slot has room for.
    unsafe {
        with(
            libc::SYS_fstat,
            [arg(fd), stat.as_mut_ptr().expose_provenance()],
        )
    }?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    Ok(Stat::of(&unsafe { stat.assume_init() }))
}

/// When a file was last read and written.
#[derive(Clone, Copy)]
pub(crate) struct Times([libc::timespec; 2]);

/// fstat(2), for the times.
///
/// # Errors
/// EBADF and kin.
pub(crate) fn times_of(fd: i32) -> Result<Times> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: one `struct stat` is written, which the slot has room for.
    unsafe {
        with(
            libc::SYS_fstat,
            [arg(fd), stat.as_mut_ptr().expose_provenance()],
        )
    }?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    let stat = unsafe { stat.assume_init() };
    let time = |tv_sec, tv_nsec| libc::timespec { tv_sec, tv_nsec };
    Ok(Times([
        time(stat.st_atime, stat.st_atime_nsec),
        time(stat.st_mtime, stat.st_mtime_nsec),
    ]))
}

/// utimensat(2) on a descriptor.
///
/// # Errors
/// EPERM for a file of another user.
pub(crate) fn set_times(fd: i32, times: &Times) -> Result<()> {
    let times = times.0.as_ptr().expose_provenance();
    // SAFETY: reads two timespecs; without a path the descriptor is meant.
    unsafe { with(libc::SYS_utimensat, [arg(fd), 0, times, 0]) }.map(drop)
}

/// newfstatat(2) with the program's own arguments: the kind and rights of what a path names.
/// `None` if it names nothing.
pub(crate) fn mode_at(directory: u64, path: u64) -> Option<u32> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let [directory, path] = [directory, path].map(|word| usize::try_from(word).unwrap_or(0));
    // SAFETY: the kernel checks the path's address, and writes one `struct stat`, which the slot
    // has room for.
    unsafe {
        with(
            libc::SYS_newfstatat,
            [directory, path, stat.as_mut_ptr().expose_provenance(), 0],
        )
    }
    .ok()?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    Some(unsafe { stat.assume_init() }.st_mode)
}

/// stat(2)
///
/// # Errors
/// ENOENT and kin.
pub(crate) fn stat(path: &CStr) -> Result<Stat> {
    stat_at(libc::AT_FDCWD, path)
}

/// newfstatat(2)
///
/// # Errors
/// ENOENT and kin.
pub(crate) fn stat_at(directory: i32, path: &CStr) -> Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: reads up to the NUL, and writes one `struct stat`, which the slot has room for.
    unsafe {
        with(
            libc::SYS_newfstatat,
            [
                arg(directory),
                path.as_ptr().expose_provenance(),
                stat.as_mut_ptr().expose_provenance(),
                0,
            ],
        )
    }?;
    // SAFETY: all-zero is a valid `struct stat`, and the kernel has filled it in.
    Ok(Stat::of(&unsafe { stat.assume_init() }))
}

impl Stat {
    fn of(stat: &libc::stat) -> Self {
        Self {
            mode: stat.st_mode,
            device: stat.st_dev,
            inode: stat.st_ino,
            special: stat.st_rdev,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink,
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

/// fcntl(F_GETFL)
///
/// # Errors
/// EBADF.
pub fn status_flags(fd: i32) -> Result<i32> {
    fcntl(fd, libc::F_GETFL, 0)
}

/// fcntl(F_DUPFD_CLOEXEC) to `lowest` or above.
///
/// # Errors
/// EINVAL, EMFILE if the limit is lower.
pub(crate) fn duplicate_above(fd: i32, lowest: i32) -> Result<i32> {
    fcntl(fd, libc::F_DUPFD_CLOEXEC, arg(lowest))
}

/// fcntl(F_GETFD): whether there is such a descriptor.
pub(crate) fn is_open(fd: i32) -> bool {
    fcntl(fd, libc::F_GETFD, 0).is_ok()
}

/// fcntl(F_SETFD): clears close-on-exec, so that the descriptor crosses an exec.
///
/// # Errors
/// EBADF.
pub fn keep_across_exec(fd: i32) -> Result<()> {
    fcntl(fd, libc::F_SETFD, 0).map(drop)
}

/// fcntl(F_GETFD): whether an exec closes the descriptor.
pub fn is_closed_on_exec(fd: i32) -> bool {
    fcntl(fd, libc::F_GETFD, 0).is_ok_and(|flags| flags & libc::FD_CLOEXEC != 0)
}

/// poll(2) on a few descriptors for reading; returns which are ready. Negative ones never are.
///
/// # Errors
/// EINTR if a signal came first.
pub(crate) fn poll_readable<const COUNT: usize>(
    fds: [i32; COUNT],
    timeout_ms: i32,
) -> Result<[bool; COUNT]> {
    let mut poll = fds.map(|fd| libc::pollfd {
        fd, // a negative one is ignored by the kernel
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: poll reads and writes the entries that are passed.
    check(unsafe {
        syscall(
            libc::SYS_poll,
            [
                poll.as_mut_ptr().expose_provenance(),
                COUNT,
                arg(timeout_ms),
                0,
                0,
                0,
            ],
        )
    })?;
    Ok(poll.map(|entry| entry.revents != 0))
}

/// write(2) of a message for a person, best effort.
pub fn write(fd: i32, bytes: &[u8]) {
    // SAFETY: write reads the bytes given.
    let _ = unsafe {
        syscall(
            libc::SYS_write,
            [
                arg(fd),
                bytes.as_ptr().expose_provenance(),
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    };
}

/// openat(2) for reading, relative to a directory, close-on-exec. `path` must end with a
/// NUL byte.
///
/// # Errors
/// As the manual page says; EINVAL for a path without its NUL.
pub(crate) fn open_at(directory: i32, path: &[u8]) -> Result<i32> {
    if path.last() != Some(&0) {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: openat reads up to the NUL byte, which is there.
    unsafe {
        with(
            libc::SYS_openat,
            [
                arg(directory),
                path.as_ptr().expose_provenance(),
                arg(libc::O_RDONLY | libc::O_CLOEXEC),
                0,
            ],
        )
    }
    .map(small)
}

/// openat(2) with O_PATH, relative to a directory, close-on-exec: finds the file without
/// opening it.
///
/// # Errors
/// As the manual page says.
pub(crate) fn open_path_at(directory: i32, path: &CStr) -> Result<i32> {
    // SAFETY: openat reads up to the NUL.
    unsafe {
        with(
            libc::SYS_openat,
            [
                arg(directory),
                path.as_ptr().expose_provenance(),
                arg(libc::O_PATH | libc::O_CLOEXEC),
                0,
            ],
        )
    }
    .map(small)
}

/// read(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: read writes at most the length given, which is the buffer's.
    unsafe {
        with(
            libc::SYS_read,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
            ],
        )
    }
}

/// close_range(2) of all descriptors, for the calling task alone: tasks that share them keep
/// them.
pub(crate) fn close_all_descriptors() {
    const UNSHARE: usize = 2;
    let _ = plain(libc::SYS_close_range, [0, u32::MAX as usize, UNSHARE]);
}

/// The same of all but one.
pub(crate) fn close_all_descriptors_but(kept: i32) {
    let kept = arg(kept);
    if kept > 0 {
        let _ = plain(libc::SYS_close_range, [0, kept - 1, 0]);
    }
    let _ = plain(libc::SYS_close_range, [kept + 1, u32::MAX as usize, 0]);
}

/// chdir(2) to `/`.
pub(crate) fn change_to_root_directory() {
    // SAFETY: reads up to the NUL.
    let _ = unsafe { with(libc::SYS_chdir, [c"/".as_ptr().expose_provenance()]) };
}

/// open(2) with these flags, close-on-exec.
///
/// # Errors
/// As the manual page says.
pub(crate) fn open(path: &CStr, flags: i32) -> Result<i32> {
    open_of_program(path.as_ptr(), flags)
}

/// The same with a path of the program's, which may be an invalid pointer.
///
/// # Errors
/// As above, and EFAULT.
pub(crate) fn open_of_program(path: *const core::ffi::c_char, flags: i32) -> Result<i32> {
    // SAFETY: the kernel reads up to the NUL, or fails.
    unsafe {
        with(
            libc::SYS_openat,
            [
                arg(libc::AT_FDCWD),
                path.expose_provenance(),
                arg(libc::O_CLOEXEC | flags),
                0,
            ],
        )
    }
    .map(small)
}

/// dup3(2)
///
/// # Errors
/// EBADF above the limit, EINTR.
pub(crate) fn duplicate_to(fd: i32, number: i32, close_on_exec: bool) -> Result<()> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    plain(libc::SYS_dup3, [arg(fd), arg(number), arg(flags)]).map(drop)
}

/// dup(2), dup2(2) or dup3(2), by its number, with the program's own arguments.
///
/// # Errors
/// As the manual page says.
pub(crate) fn duplicate_of_program(call: i64, arguments: [usize; 3]) -> Result<i32> {
    plain(call, arguments).map(small)
}

/// fcntl(2) with a number as its argument.
///
/// # Errors
/// As the manual page says of the command.
pub(crate) fn fcntl(fd: i32, command: i32, argument: usize) -> Result<i32> {
    plain(libc::SYS_fcntl, [arg(fd), arg(command), argument]).map(small)
}

/// readlinkat(2), cut at the buffer's length.
///
/// # Errors
/// As the manual page says.
pub(crate) fn read_link_at<'a>(
    directory: i32,
    path: &CStr,
    buffer: &'a mut [u8],
) -> Result<&'a [u8]> {
    // SAFETY: reads up to the NUL byte, and writes at most as much as the buffer has.
    let length = unsafe {
        with(
            libc::SYS_readlinkat,
            [
                arg(directory),
                path.as_ptr().expose_provenance(),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
            ],
        )
    }?;
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// Compares two descriptors' open file descriptions, in an order of the kernel's:
/// kcmp(KCMP_FILE).
///
/// # Errors
/// EPERM, ENOSYS if a filter hides the call; EBADF.
pub fn compare_files(
    (pid, fd): (i32, i32),
    (other_pid, other_fd): (i32, i32),
) -> Result<core::cmp::Ordering> {
    const FILE: usize = 0;
    plain(
        libc::SYS_kcmp,
        [arg(pid), arg(other_pid), FILE, arg(fd), arg(other_fd)],
    )
    .map(order)
}

/// Compares a descriptor's file with the one that an epoll has registered under a number, in
/// the order of [`compare_files`]: kcmp(KCMP_EPOLL_TFD).
///
/// # Errors
/// EPERM, ENOSYS if a filter hides the call; ENOENT if nothing is registered under that number.
pub(crate) fn compare_registered(
    pid: i32,
    fd: i32,
    epoll: i32,
    by: i32,
    nth: u32,
) -> Result<core::cmp::Ordering> {
    const EPOLL_TFD: usize = 7;
    let slot = [epoll.cast_unsigned(), by.cast_unsigned(), nth];
    // SAFETY: reads a slot of three numbers.
    unsafe {
        with(
            libc::SYS_kcmp,
            [
                arg(pid),
                arg(pid),
                EPOLL_TFD,
                arg(fd),
                slot.as_ptr().expose_provenance(),
            ],
        )
    }
    .map(order)
}

/// What processes may share: the kinds of kcmp(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// CLONE_VM
    Memory = 1,
    /// CLONE_FILES
    Descriptors = 2,
    /// CLONE_FS
    Directory = 3,
}

/// Whether two processes share it: kcmp(2).
///
/// # Errors
/// EPERM, ENOSYS if a filter hides the call; ESRCH.
pub fn compare_processes(what: Shared, pid: i32, other: i32) -> Result<bool> {
    plain(libc::SYS_kcmp, [arg(pid), arg(other), what as usize]).map(|answer| answer == 0)
}

/// The order in a kcmp(2) answer.
const fn order(answer: usize) -> core::cmp::Ordering {
    match answer {
        0 => core::cmp::Ordering::Equal,
        1 => core::cmp::Ordering::Less,
        _ => core::cmp::Ordering::Greater,
    }
}

/// write(2), in one call.
///
/// # Errors
/// As the manual page says.
pub(crate) fn write_once(fd: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: reads the bytes given.
    unsafe {
        with(
            libc::SYS_write,
            [arg(fd), bytes.as_ptr().expose_provenance(), bytes.len()],
        )
    }
}

/// pread(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn read_at(fd: i32, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    // SAFETY: writes at most the length given, which is the buffer's.
    unsafe {
        with(
            libc::SYS_pread64,
            [
                arg(fd),
                buffer.as_mut_ptr().expose_provenance(),
                buffer.len(),
                offset,
            ],
        )
    }
}

/// pread64(2) of whole words; returns how many.
///
/// # Errors
/// As the manual page says.
pub(crate) fn read_words_at(fd: i32, words: &mut [u64], offset: u64) -> Result<usize> {
    // SAFETY: any bytes are words, and they are this many.
    let bytes = unsafe {
        core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words))
    };
    Ok(read_at(fd, bytes, offset)? / size_of::<u64>())
}

/// pwrite(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn write_at(fd: i32, bytes: &[u8], offset: u64) -> Result<usize> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    // SAFETY: reads the bytes given.
    unsafe {
        with(
            libc::SYS_pwrite64,
            [
                arg(fd),
                bytes.as_ptr().expose_provenance(),
                bytes.len(),
                offset,
            ],
        )
    }
}

/// ftruncate(2)
///
/// # Errors
/// EPERM if a seal forbids it.
pub(crate) fn set_length(fd: i32, bytes: u64) -> Result<()> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    plain(libc::SYS_ftruncate, [arg(fd), bytes]).map(drop)
}

/// Whether RLIMIT_FSIZE lets this process make a file that long. Beyond the limit, SIGXFSZ
/// would end the program.
pub(crate) fn may_have_length(bytes: u64) -> bool {
    limit(libc::RLIMIT_FSIZE).map_or(true, |[soft, _]| bytes <= soft)
}

/// prlimit(2) of the calling process: the soft and the hard limit.
///
/// # Errors
/// EPERM if a filter forbids it.
pub(crate) fn limit(which: libc::__rlimit_resource_t) -> Result<[u64; 2]> {
    let mut limits = [0_u64; 2];
    let place = limits.as_mut_ptr().expose_provenance();
    // SAFETY: sets nothing, and writes the two numbers into a live array.
    unsafe { with(libc::SYS_prlimit64, [0, which as usize, 0, place]) }?;
    Ok(limits)
}

/// prlimit(2) of the calling process.
///
/// # Errors
/// EPERM if the limit may not be that high.
pub(crate) fn set_limit(which: libc::__rlimit_resource_t, limits: [u64; 2]) -> Result<()> {
    let place = limits.as_ptr().expose_provenance();
    // SAFETY: reads two numbers of a live array.
    unsafe { with(libc::SYS_prlimit64, [0, which as usize, place, 0]) }.map(drop)
}

/// ioctl(FIONREAD): the number of unread bytes.
///
/// # Errors
/// ENOTTY if the file has no such number.
pub(crate) fn waiting_bytes(fd: i32) -> Result<usize> {
    let mut waiting = 0_i32;
    // SAFETY: writes one int.
    unsafe {
        with(
            libc::SYS_ioctl,
            [
                arg(fd),
                usize::try_from(libc::FIONREAD).unwrap_or(0),
                (&raw mut waiting).expose_provenance(),
            ],
        )
    }?;
    Ok(usize::try_from(waiting).unwrap_or(0))
}

/// The descriptor's present events: poll(2) for all, without waiting.
pub(crate) fn poll_now(fd: i32) -> i16 {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: poll reads and writes the one entry that is passed.
    let _ = unsafe { with(libc::SYS_poll, [(&raw mut poll).expose_provenance(), 1, 0]) };
    poll.revents
}

/// fcntl(F_GETOWN_EX): who gets the descriptor's signals, a thread (0), a process (1) or a
/// group (2), and its number.
///
/// # Errors
/// EBADF.
pub(crate) fn notice_owner(fd: i32) -> Result<[i32; 2]> {
    const F_GETOWN_EX: i32 = 16;
    let mut owner = [0; 2];
    // SAFETY: writes a `struct f_owner_ex`, which is two ints.
    unsafe {
        with(
            libc::SYS_fcntl,
            [
                arg(fd),
                arg(F_GETOWN_EX),
                owner.as_mut_ptr().expose_provenance(),
            ],
        )
    }?;
    Ok(owner)
}

/// fcntl(F_SETOWN_EX)
///
/// # Errors
/// ESRCH if there is none with that number.
pub(crate) fn set_notice_owner(fd: i32, owner: [i32; 2]) -> Result<()> {
    const F_SETOWN_EX: i32 = 15;
    // SAFETY: reads a `struct f_owner_ex`, which is two ints.
    unsafe {
        with(
            libc::SYS_fcntl,
            [
                arg(fd),
                arg(F_SETOWN_EX),
                owner.as_ptr().expose_provenance(),
            ],
        )
    }
    .map(drop)
}

/// flock(2)
///
/// # Errors
/// EAGAIN if another description has it.
pub(crate) fn flock(fd: i32, operation: i32) -> Result<()> {
    plain(libc::SYS_flock, [arg(fd), arg(operation)]).map(drop)
}

/// fcntl(F_SETLK) or (F_OFD_SETLK) of a range; a length of 0 reaches to the end.
///
/// # Errors
/// EAGAIN, EACCES if another owner has it.
pub(crate) fn lock_range(fd: i32, command: i32, kind: i32, start: i64, length: i64) -> Result<()> {
    let lock = libc::flock {
        l_type: i16::try_from(kind).unwrap_or(0),
        l_whence: 0,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    // SAFETY: reads one `struct flock`.
    unsafe {
        with(
            libc::SYS_fcntl,
            [arg(fd), arg(command), (&raw const lock).expose_provenance()],
        )
    }
    .map(drop)
}

/// unlinkat(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn remove(path: &CStr) -> Result<()> {
    // SAFETY: reads a path up to its NUL.
    unsafe {
        with(
            libc::SYS_unlinkat,
            [arg(libc::AT_FDCWD), path.as_ptr().expose_provenance(), 0],
        )
    }
    .map(drop)
}

/// faccessat2(AT_EACCESS): whether the process may write to a directory and look into it.
pub(crate) fn may_write_to(directory: &CStr) -> bool {
    // SAFETY: reads a path up to its NUL.
    unsafe {
        with(
            libc::SYS_faccessat2,
            [
                arg(libc::AT_FDCWD),
                directory.as_ptr().expose_provenance(),
                arg(libc::W_OK | libc::X_OK),
                arg(libc::AT_EACCESS),
            ],
        )
    }
    .is_ok()
}

/// faccessat2(2) of a descriptor's file, by the effective ids: R_OK, W_OK. Opens nothing.
///
/// # Errors
/// EACCES, EPERM, EROFS if it may not be opened that way.
pub(crate) fn may_open(fd: i32, mode: i32) -> Result<()> {
    // SAFETY: reads an empty path.
    unsafe {
        with(
            libc::SYS_faccessat2,
            [
                arg(fd),
                c"".as_ptr().expose_provenance(),
                arg(mode),
                arg(libc::AT_EMPTY_PATH | libc::AT_EACCESS),
            ],
        )
    }
    .map(drop)
}

/// fstatfs(2): the type of a file's file system.
///
/// # Errors
/// EBADF and kin.
pub(crate) fn file_system(fd: i32) -> Result<i64> {
    let mut found = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: one `struct statfs` is written, which the slot has room for.
    unsafe {
        with(
            libc::SYS_fstatfs,
            [arg(fd), found.as_mut_ptr().expose_provenance()],
        )
    }?;
    // SAFETY: all-zero is a valid `struct statfs`, and the kernel has filled it in.
    Ok(unsafe { found.assume_init() }.f_type)
}

/// fchmodat(2)
///
/// # Errors
/// EPERM if the file has another owner.
pub(crate) fn set_mode(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: reads a path up to its NUL.
    unsafe {
        with(
            libc::SYS_fchmodat,
            [
                arg(libc::AT_FDCWD),
                path.as_ptr().expose_provenance(),
                mode as usize,
            ],
        )
    }
    .map(drop)
}

/// fchownat(2)
///
/// # Errors
/// EPERM if this process may not set that owner.
pub(crate) fn set_owner(path: &CStr, (user, group): (u32, u32)) -> Result<()> {
    // SAFETY: reads a path up to its NUL.
    unsafe {
        with(
            libc::SYS_fchownat,
            [
                arg(libc::AT_FDCWD),
                path.as_ptr().expose_provenance(),
                user as usize,
                group as usize,
                0,
            ],
        )
    }
    .map(drop)
}

/// ioctl(2) with a command of the journal's, an offset and a length.
///
/// # Errors
/// The journal's; ENOTTY if nobody answers for it.
pub(crate) fn keep_range(fd: i32, command: u32, offset: u64, length: u64) -> Result<()> {
    let word = |number: u64| usize::from_ne_bytes(number.to_ne_bytes());
    plain(
        libc::SYS_ioctl,
        [arg(fd), command as usize, word(offset), word(length)],
    )
    .map(drop)
}
