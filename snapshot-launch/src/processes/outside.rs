//! Process ids outside the session's namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use snapshot_core::kernel::proc_text;

use crate::processes::{child::open as open_process, files};
use crate::shortage::patiently;

/// The view from outside; without a namespace it is the same as from inside.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    proc: Option<OwnedFd>,
}

impl Outside {
    /// Through the `/proc` of the launcher's own namespace.
    pub(crate) fn through(proc: OwnedFd) -> Self {
        Self { proc: Some(proc) }
    }

    /// Whether the session has a namespace of its own.
    pub(crate) fn is_another(&self) -> bool {
        self.proc.is_some()
    }

    /// A process's number outside; 0 if it is gone, or if descriptors or memory are lacking.
    pub(crate) fn number_of(&self, pid: i32) -> i32 {
        match &self.proc {
            None => pid,
            Some(proc) => look_up(proc, pid).unwrap_or(0),
        }
    }

    /// A thread's number outside; `process` is the number of its process there. 0 if it is
    /// gone.
    pub(crate) fn number_of_thread(&self, process: i32, thread: i32) -> i32 {
        match &self.proc {
            None => thread,
            Some(proc) => look_for_thread(proc, process, thread).unwrap_or(0),
        }
    }
}

/// Opens a path of that `/proc`.
fn open_in(proc: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    Ok(openat(proc.as_fd(), path, flags, Mode::empty())?.into())
}

/// Not every kernel can open a thread by its id, so this searches the process's threads.
fn look_for_thread(proc: &OwnedFd, process: i32, thread: i32) -> Option<i32> {
    let tasks = open_in(proc, &format!("{process}/task")).ok()?;
    let tasks = Dir::from_fd(OwnedFd::from(tasks)).ok()?;
    tasks
        .into_iter()
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok())
        .find(|number: &i32| {
            let path = format!("{process}/task/{number}/status");
            open_in(proc, &path)
                .and_then(files::rest_of)
                .is_ok_and(|status| own_number_in(&status) == Some(thread))
        })
}

/// A thread's number in its own namespace, by its `status`.
fn own_number_in(status: &[u8]) -> Option<i32> {
    let numbers = proc_text::field(status, "NSpid:")?;
    let own = numbers.rsplit(u8::is_ascii_whitespace).next()?;
    std::str::from_utf8(own).ok()?.parse().ok()
}

/// The kernel shows an open process's number in the namespace of the `/proc` that is read.
fn look_up(proc: &OwnedFd, pid: i32) -> Option<i32> {
    let opened = open_process(pid).ok()?;
    let path = format!("self/fdinfo/{}", opened.as_raw_fd());
    let text = patiently(|| files::rest_of(open_in(proc, &path)?)).ok()?;
    let number = proc_text::field(&text, "Pid:")?;
    let number: i32 = std::str::from_utf8(number).ok()?.trim().parse().ok()?;
    // -1 is a process that has been reaped since.
    Some(number.max(0))
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
        let outside = Outside::through(proc);
        assert_eq!(outside.number_of(own), own);
        let thread = nix::unistd::gettid().as_raw();
        assert_eq!(outside.number_of_thread(own, thread), thread);
        assert_eq!(Outside::default().number_of(own), own);
    }
}
