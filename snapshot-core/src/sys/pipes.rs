//! Pipes.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "writes two descriptors")]

use super::{Result, arg, fcntl, plain, with};

/// pipe2(2), close-on-exec and non-blocking; the end to read and the one to write.
///
/// # Errors
/// EMFILE, ENFILE.
pub(crate) fn pipe(packets: bool) -> Result<[i32; 2]> {
    let packets = if packets { libc::O_DIRECT } else { 0 };
    let mut ends = [0_i32; 2];
    // SAFETY: writes two descriptors.
    unsafe {
        with(
            libc::SYS_pipe2,
            [
                ends.as_mut_ptr().expose_provenance(),
                arg(libc::O_CLOEXEC | libc::O_NONBLOCK | packets),
            ],
        )
    }?;
    Ok(ends)
}

/// fcntl(F_GETPIPE_SZ)
///
/// # Errors
/// EBADF.
pub(crate) fn pipe_capacity(fd: i32) -> Result<usize> {
    Ok(fcntl(fd, libc::F_GETPIPE_SZ, 0)?.unsigned_abs() as usize)
}

/// fcntl(F_SETPIPE_SZ)
///
/// # Errors
/// EPERM above the limit, EBUSY if the pipe holds more.
pub(crate) fn set_pipe_capacity(fd: i32, bytes: usize) -> Result<()> {
    fcntl(fd, libc::F_SETPIPE_SZ, bytes).map(drop)
}

/// tee(2): copies what is in one pipe to another, as far as there is room.
///
/// # Errors
/// EAGAIN if there is nothing.
pub(crate) fn tee(from: i32, to: i32, most: usize) -> Result<usize> {
    const NONBLOCK: usize = 2;
    plain(libc::SYS_tee, [arg(from), arg(to), most, NONBLOCK])
}
