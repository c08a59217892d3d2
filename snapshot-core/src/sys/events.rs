//! The objects behind a descriptor that a program waits on: epoll, eventfd, timerfd, inotify.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "system calls that take a small struct")]

use super::{Result, TimerValue, arg, plain, small, with};

/// epoll_create1(2)
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub(crate) fn epoll() -> Result<i32> {
    plain(libc::SYS_epoll_create1, [arg(libc::EPOLL_CLOEXEC)]).map(small)
}

/// epoll_ctl(EPOLL_CTL_ADD)
///
/// # Errors
/// EEXIST, ENOSPC, ELOOP, EPERM.
pub(crate) fn epoll_add(epoll: i32, fd: i32, events: u32, data: u64) -> Result<()> {
    epoll_control(epoll, libc::EPOLL_CTL_ADD, fd, events, data)
}

/// epoll_ctl(EPOLL_CTL_MOD)
///
/// # Errors
/// ENOENT, EINVAL.
pub(crate) fn epoll_change(epoll: i32, fd: i32, events: u32, data: u64) -> Result<()> {
    epoll_control(epoll, libc::EPOLL_CTL_MOD, fd, events, data)
}

fn epoll_control(epoll: i32, operation: i32, fd: i32, events: u32, data: u64) -> Result<()> {
    // Packed on this processor, as in the kernel.
    let event = libc::epoll_event { events, u64: data };
    // SAFETY: reads one event.
    unsafe {
        with(
            libc::SYS_epoll_ctl,
            [
                arg(epoll),
                arg(operation),
                arg(fd),
                (&raw const event).expose_provenance(),
            ],
        )
    }
    .map(drop)
}

/// epoll_pwait(2) of one event, without waiting; returns how many there were.
///
/// # Errors
/// EBADF.
pub(crate) fn epoll_take(epoll: i32) -> Result<usize> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: writes one event.
    unsafe {
        with(
            libc::SYS_epoll_pwait,
            [arg(epoll), (&raw mut event).expose_provenance(), 1, 0, 0, 0],
        )
    }
}

/// eventfd2(2) with a count of 0.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub(crate) fn eventfd(semaphore: bool) -> Result<i32> {
    let semaphore = if semaphore { libc::EFD_SEMAPHORE } else { 0 };
    plain(
        libc::SYS_eventfd2,
        [0, arg(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK | semaphore)],
    )
    .map(small)
}

/// timerfd_create(2)
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM; EPERM for a clock that wakes the machine.
pub(crate) fn timerfd(clock: i32) -> Result<i32> {
    plain(
        libc::SYS_timerfd_create,
        [arg(clock), arg(libc::TFD_CLOEXEC)],
    )
    .map(small)
}

/// timerfd_gettime(2). It also updates the count of expirations.
///
/// # Errors
/// EBADF, EINVAL.
pub(crate) fn timerfd_left(fd: i32) -> Result<TimerValue> {
    let mut value = TimerValue::default();
    // SAFETY: writes one itimerspec, four longs.
    unsafe {
        with(
            libc::SYS_timerfd_gettime,
            [arg(fd), value.as_mut_ptr().expose_provenance()],
        )
    }?;
    Ok(value)
}

/// timerfd_settime(2)
///
/// # Errors
/// EINVAL.
pub(crate) fn set_timerfd(fd: i32, flags: i32, value: &TimerValue) -> Result<()> {
    // SAFETY: reads one itimerspec, four longs.
    unsafe {
        with(
            libc::SYS_timerfd_settime,
            [arg(fd), arg(flags), value.as_ptr().expose_provenance(), 0],
        )
    }
    .map(drop)
}

/// ioctl(TFD_IOC_SET_TICKS): the number of unread expirations.
///
/// # Errors
/// ENOTTY if the kernel is built without CONFIG_CHECKPOINT_RESTORE; EINVAL for 0.
pub(crate) fn set_timerfd_ticks(fd: i32, ticks: u64) -> Result<()> {
    const SET_TICKS: usize = 0x4008_5400;
    // SAFETY: reads eight bytes.
    unsafe {
        with(
            libc::SYS_ioctl,
            [arg(fd), SET_TICKS, (&raw const ticks).expose_provenance()],
        )
    }
    .map(drop)
}

/// inotify_init1(2)
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub(crate) fn inotify() -> Result<i32> {
    plain(libc::SYS_inotify_init1, [arg(libc::IN_CLOEXEC)]).map(small)
}

/// ioctl(INOTIFY_IOC_SETNEXTWD): the number that the next watch gets.
///
/// # Errors
/// ENOTTY if the kernel is built without CONFIG_CHECKPOINT_RESTORE.
pub(crate) fn set_next_watch(fd: i32, watch: i32) -> Result<()> {
    const SET_NEXT: usize = 0x4004_4900;
    plain(libc::SYS_ioctl, [arg(fd), SET_NEXT, arg(watch)]).map(drop)
}

/// inotify_add_watch(2)
///
/// # Errors
/// As the manual page says.
pub(crate) fn add_watch(fd: i32, path: &core::ffi::CStr, mask: u32) -> Result<i32> {
    add_watch_of_program(fd, path.as_ptr(), mask)
}

/// The same with a path of the program's, which may be an invalid pointer.
///
/// # Errors
/// As above, and EFAULT.
pub(crate) fn add_watch_of_program(
    fd: i32,
    path: *const core::ffi::c_char,
    mask: u32,
) -> Result<i32> {
    // SAFETY: the kernel reads up to the NUL byte, or fails.
    unsafe {
        with(
            libc::SYS_inotify_add_watch,
            [arg(fd), path.expose_provenance(), mask as usize],
        )
    }
    .map(small)
}

/// inotify_rm_watch(2)
///
/// # Errors
/// EINVAL if there is no such watch.
pub(crate) fn remove_watch(fd: i32, watch: i32) -> Result<()> {
    plain(libc::SYS_inotify_rm_watch, [arg(fd), arg(watch)]).map(drop)
}
