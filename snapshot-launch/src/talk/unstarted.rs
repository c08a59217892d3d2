//! Why the program never ran: from the process that should have become it, through the
//! supervisor, to the person.

use std::io;

use nix::errno::Errno;
use nix::libc;
use serde::{Deserialize, Serialize};

use crate::shortage;
use crate::talk::problem::{Problem, exit};

/// What could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StartStep {
    /// Set up the session, or exec.
    Start,
    /// Do what `--deny` asks for.
    Deny,
}

/// The program never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unstarted {
    step: StartStep,
    errno: i32,
}

impl Unstarted {
    /// Turns an error into the failure of this step.
    pub(crate) fn at(step: StartStep) -> impl Fn(io::Error) -> Self {
        move |error| Self {
            step,
            errno: error.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }

    /// In the form for a pipe.
    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.errno.to_le_bytes();
        [u8::from(self.step == StartStep::Deny), a, b, c, d]
    }

    /// Reads that form.
    pub(crate) fn from_bytes([step, a, b, c, d]: [u8; 5]) -> Self {
        Self {
            step: match step {
                0 => StartStep::Start,
                _ => StartStep::Deny,
            },
            errno: i32::from_le_bytes([a, b, c, d]),
        }
    }

    /// For a person: what, cause, help.
    pub(crate) fn problem(self, program: &str) -> Problem {
        let error = io::Error::from_raw_os_error(self.errno);
        let problem = Problem::new(exit::SETUP, format!("cannot launch `{program}`"));
        match self.step {
            StartStep::Start => {
                let help = shortage::help_for(&error)
                    .unwrap_or("check that it can be started from the shell");
                problem.cause(error).help(help)
            }
            StartStep::Deny => problem
                .cause(format!(
                    "the kernel takes no filter that would deny it what --deny names: {error}"
                ))
                .help("let seccomp(2) through in the container's profile, on a kernel with CONFIG_SECCOMP_FILTER, or leave --deny out"),
        }
    }
}

impl From<io::Error> for Unstarted {
    fn from(error: io::Error) -> Self {
        Self::at(StartStep::Start)(error)
    }
}

impl From<Errno> for Unstarted {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_through_a_pipe_as_it_was() {
        for step in [StartStep::Start, StartStep::Deny] {
            let unstarted = Unstarted::at(step)(io::Error::from_raw_os_error(libc::EPERM));
            assert_eq!(Unstarted::from_bytes(unstarted.to_bytes()), unstarted);
            let problem = unstarted.problem("x").to_string();
            assert_eq!(problem.contains("--deny"), step == StartStep::Deny);
            assert!(problem.contains("not permitted"), "{problem}");
        }
    }
}
