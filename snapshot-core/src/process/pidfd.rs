//! A pidfd's process: which one it is, and whether it has ended.
//!
//! Once the process has been reaped a pidfd no longer shows its id. Since Linux 6.9 each
//! process's pidfds have an inode of their own, which stays.
//!
//! Context: AS-SAFE.

use core::ffi::CStr;

use crate::kernel::{proc_text, procfs};
use crate::sys;

/// The process of a pidfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Its id; `None` once it has been reaped.
    pub pid: Option<i32>,
    /// Its pidfds' inode.
    pub inode: u64,
}

/// The process of this descriptor. `None` if the descriptor is no pidfd.
pub fn named(descriptor: i32) -> Option<Named> {
    const DIRECTORY: &[u8] = b"/proc/self/fdinfo/";
    let mut path = [0; 52];
    path[..DIRECTORY.len()].copy_from_slice(DIRECTORY);
    path[DIRECTORY.len()..DIRECTORY.len() + 32].copy_from_slice(&procfs::numbered(descriptor, b""));
    let mut buffer = [0; 512];
    let text = procfs::read(CStr::from_bytes_until_nul(&path).ok()?, &mut buffer).ok()?;
    let pid = proc_text::number(text, "Pid:")?;
    Some(Named {
        pid: i32::try_from(pid).ok().filter(|&pid| pid > 0),
        inode: sys::fstat(descriptor).ok()?.inode,
    })
}

/// The inode of a process's pidfds, which no other process has; 0 if there is none.
pub fn inode_of(pid: i32) -> u64 {
    let inode = |pid| {
        let descriptor = sys::pidfd_open(pid).ok()?;
        let stat = sys::fstat(descriptor);
        sys::close(descriptor);
        Some(stat.ok()?.inode)
    };
    // Before 6.9 all pidfds share one.
    match (inode(pid), inode(sys::getpid())) {
        (Some(inode), Some(own)) if inode != own => inode,
        _ => 0,
    }
}

/// Whether the process has ended, reaped or not.
pub fn has_ended(descriptor: i32) -> bool {
    sys::poll_readable([descriptor, -1], 0).is_ok_and(|[ended, _]| ended)
}

/// The same, by its id. A process that doesn't exist has ended.
pub fn has_process_ended(pid: i32) -> bool {
    match sys::pidfd_open(pid) {
        Ok(descriptor) => {
            let ended = has_ended(descriptor);
            sys::close(descriptor);
            ended
        }
        Err(errno) => errno.0 == libc::ESRCH,
    }
}

/// Whether a wait on it doesn't block.
pub fn is_nonblocking(descriptor: i32) -> bool {
    sys::status_flags(descriptor).is_ok_and(|flags| flags & libc::O_NONBLOCK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_named_as_long_as_it_is_there() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        let pid = i32::try_from(child.id()).expect("a process id fits");
        let descriptor = sys::pidfd_open(pid).expect("it runs");
        let inode = inode_of(pid);
        let before = named(descriptor).expect("it is a pidfd");
        assert_eq!(before.pid, Some(pid));
        assert!(inode == 0 || inode == before.inode);
        assert!(!has_ended(descriptor) && !has_process_ended(pid));
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        assert!(has_ended(descriptor) && has_process_ended(pid));
        let after = named(descriptor).expect("it is a pidfd");
        assert_eq!((after.pid, after.inode), (None, before.inode));
        sys::close(descriptor);
        assert_eq!(named(0), None);
    }
}
