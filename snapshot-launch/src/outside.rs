//! Process ids as everybody outside the session's namespace sees them.
#![expect(unsafe_code, reason = "opens a process by its id")]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;

/// The view from outside; the same as the own one where there is no namespace.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    proc: Option<OwnedFd>,
}

impl Outside {
    /// By the `/proc` of the launcher's own namespace.
    pub(crate) fn through(proc: OwnedFd) -> Self {
        Self { proc: Some(proc) }
    }

    /// Whether there is an outside at all.
    pub(crate) fn is_another(&self) -> bool {
        self.proc.is_some()
    }

    /// The number by which a process of ours is known outside; 0 where it is gone.
    pub(crate) fn number_of(&self, pid: i32) -> i32 {
        match &self.proc {
            None => pid,
            Some(proc) => look_up(proc, pid).unwrap_or(0),
        }
    }
}

/// The kernel tells of an open process by which number the `/proc` that is asked knows it.
fn look_up(proc: &OwnedFd, pid: i32) -> Option<i32> {
    // SAFETY: takes numbers, and gives a descriptor or fails.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let opened = RawFd::try_from(opened).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: the kernel has just made it for us alone.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    let path = format!("self/fdinfo/{}", opened.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(proc.as_fd(), path.as_str(), flags, Mode::empty()).ok()?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|number| number.trim().parse().ok())
        .filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::open;

    #[test]
    fn without_a_namespace_the_numbers_are_the_same() {
        let proc = open(
            "/proc",
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .expect("/proc is there");
        let own = nix::unistd::getpid().as_raw();
        assert_eq!(Outside::through(proc).number_of(own), own);
        assert_eq!(Outside::default().number_of(own), own);
    }
}
