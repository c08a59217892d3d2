//! How a session has ended, and the same end for this process.
#![expect(unsafe_code, reason = "takes a signal's default action")]

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use snapshot_core::sys::{self, SignalSet};

/// How a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ending {
    /// Ends this process as the program has ended: with its code, or by its signal.
    pub fn leave(self) -> ! {
        match self {
            Self::Code(code) => std::process::exit(code),
            Self::Signal(signal) => {
                // The program's core is its own; ours would only hide it.
                let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
                // SAFETY: the default action runs no code.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
                sys::unblock(SignalSet::only(signal));
                let _ = sys::kill(sys::getpid(), signal);
                // The signal's default action ends nothing.
                std::process::exit(128 + signal)
            }
        }
    }
}
