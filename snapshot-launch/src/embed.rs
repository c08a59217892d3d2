//! The agent: the launcher carries it as bytes, and gives it to the program's loader as a file
//! in memory.

use std::ffi::CStr;
use std::io;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

static AGENT: &[u8] = include_bytes!(env!("SNAPSHOT_AGENT"));

/// The file's name in `/proc/PID/maps`.
pub(crate) const NAME: &CStr = c"cargo-snapshot-agent";

/// A sealed file with the agent in it, close-on-exec.
///
/// # Errors
/// If the kernel has no memory, or no such files.
pub(crate) fn agent_file() -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = memfd_create(NAME, flags)?;
    let mut file = std::fs::File::from(file);
    file.write_all(AGENT)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}
