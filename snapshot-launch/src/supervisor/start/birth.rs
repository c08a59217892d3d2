//! Makes the program's process with the same number inside the session's namespace and outside,
//! if possible. Then the number that the program writes to a log or a pid file is true for
//! everybody.
//!
//! The kernel gives outer numbers in turn, so that none is reused soon: somebody may still mean
//! its last owner. So the supervisor chooses the inner number, as a bet on the next outer one.
#![expect(unsafe_code, reason = "forks")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid, pipe2};
use snapshot_core::sys::{self, Side};

use super::deny;
use crate::flags::DenyKind;
use crate::processes::{child::Child, outside::Outside};
use crate::talk::unstarted::{StartStep, Unstarted};

/// How often to bet before any number will do.
const ATTEMPTS: usize = 12;

/// Starts the command in its own process, without what is `denied`.
///
/// # Errors
/// What the fork, the denial or the exec failed with.
pub(crate) fn start(
    command: &mut Command,
    outside: &Outside,
    denied: &[DenyKind],
) -> Result<Child, Unstarted> {
    let mut next = outside.number_of(getpid().as_raw()) + 1;
    for _ in 0..ATTEMPTS {
        if !outside.is_another() {
            break;
        }
        match Newborn::make(command, &[next], denied) {
            Ok(newborn) => {
                let number = outside.number_of(newborn.child.pid());
                if number == newborn.child.pid() {
                    return newborn.go();
                }
                newborn.end();
                next = number + 1;
            }
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => next += 1,
            Err(_) => break,
        }
    }
    Newborn::make(command, &[], denied)?.go()
}

/// A process that waits for its exec.
struct Newborn {
    child: Child,
    go: OwnedFd,
    outcome: OwnedFd,
}

impl Newborn {
    fn make(command: &mut Command, ids: &[i32], denied: &[DenyKind]) -> io::Result<Self> {
        let (may_go, go) = pipe2(OFlag::O_CLOEXEC)?;
        let (outcome, report) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: the supervisor has one thread, so the child may do what it likes.
        let side = unsafe { sys::fork_with_ids(ids) };
        match side.map_err(|errno| io::Error::from_raw_os_error(errno.0))? {
            // On failure `go` closes, and that ends the child.
            Side::Original(pid) => Ok(Self {
                child: Child::of(pid)?,
                go,
                outcome,
            }),
            Side::Copy => {
                drop((go, outcome));
                if File::from(may_go).read_exact(&mut [0]).is_err() {
                    sys::exit_group(0);
                }
                // First, while it still has the session's rights.
                let unstarted = match deny::install(denied) {
                    // Returns only on failure.
                    Ok(()) => command.exec().into(),
                    Err(error) => Unstarted::at(StartStep::Deny)(error),
                };
                let _ = File::from(report).write_all(&unstarted.to_bytes());
                sys::exit_group(127)
            }
        }
    }

    fn go(self) -> Result<Child, Unstarted> {
        File::from(self.go).write_all(&[1])?;
        let mut unstarted = [0; 5];
        // A successful exec closes it.
        match File::from(self.outcome).read_exact(&mut unstarted) {
            Err(_) => Ok(self.child),
            Ok(()) => {
                let _ = waitpid(Pid::from_raw(self.child.pid()), None);
                Err(Unstarted::from_bytes(unstarted))
            }
        }
    }

    fn end(self) {
        self.child.signal(libc::SIGKILL);
        let _ = waitpid(Pid::from_raw(self.child.pid()), None);
    }
}
