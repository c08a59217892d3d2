//! A call that waits for a child, and the children of this guest.

use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::act::{Act, Given, endless};
use crate::note::Note;
use crate::outcome::{Outcome, call};
use crate::pipes::{pipe, wait_for_byte, write_byte};

/// Forks a child that runs `body` with this descriptor as its only one beyond stdio, and
/// then ends with status 0.
pub fn child(fd: RawFd, body: impl FnOnce(RawFd)) -> Pid {
    const KEPT: RawFd = 3;
    // SAFETY: no other thread has been started yet.
    match unsafe { nix::unistd::fork() }.expect("there are processes left") {
        nix::unistd::ForkResult::Parent { child } => child,
        nix::unistd::ForkResult::Child => {
            if fd != KEPT {
                // SAFETY: takes numbers.
                unsafe { libc::dup2(fd, KEPT) };
            }
            // SAFETY: takes numbers; nothing below uses them.
            unsafe { libc::close_range(KEPT.cast_unsigned() + 1, u32::MAX, 0) };
            body(KEPT);
            // SAFETY: ends the child without the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

pub fn waitpid(_: &Given) -> Act {
    let (near, far) = pipe();
    let pid = child(near, wait_for_byte).as_raw();
    let call = move |note: &Note| {
        let mut status = -1;
        note.begin();
        let outcome = call!(libc::waitpid(pid, &raw mut status, 0));
        if outcome == Outcome(Ok(i64::from(pid))) && status != 0 {
            return Outcome(Err(Errno::EPROTO));
        }
        outcome
    };
    endless(call, move || write_byte(far))
}
