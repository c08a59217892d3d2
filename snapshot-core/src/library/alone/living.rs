//! The copy of a template that lives: waits for what becomes of it.
//!
//! Context: AS-SAFE.

use crate::sys::{self, Errno};
use crate::terms::Ended;

use super::again::Again;

/// A copy whose end nobody tells has at least not ended well. Nobody else can reap one.
const UNKNOWN: Ended = Ended::Killed(libc::SIGKILL);

/// A copy.
pub(super) struct Living {
    pid: i32,
    /// -1 without a descriptor for it.
    pidfd: i32,
}

/// What has become of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is gone.
    Ended(Ended),
    /// Its run has ended with this code, and it waits for the next.
    Waits(i32),
}

impl Living {
    pub(super) fn of(pid: i32) -> Self {
        Self {
            pid,
            pidfd: sys::pidfd_open(pid).unwrap_or(-1),
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has not ended.
    pub(super) fn is_there(&self) -> bool {
        self.pidfd >= 0 && matches!(sys::poll_readable([self.pidfd], 0), Ok([false]))
    }

    /// Waits for the end of its run, and stops and goes on with it. Kills it if nobody wants it any more:
    /// a word of the asker's says so, or one of `signals`.
    pub(super) fn wait(&self, again: Option<&Again>, asker: i32, signals: i32) -> Outcome {
        loop {
            if let Some(code) = again.and_then(Again::ended) {
                return Outcome::Waits(code);
            }
            match sys::wait_for_child(self.pid, libc::WEXITED | libc::WSTOPPED | libc::WNOHANG) {
                // The whole job stops, at the terminal. A SIGSTOP is for the copy alone.
                Ok(state) if state.code == libc::CLD_STOPPED => {
                    if state.status != libc::SIGSTOP {
                        let _ = sys::kill(sys::getpid(), libc::SIGSTOP);
                        let _ = sys::kill(self.pid, libc::SIGCONT);
                    }
                    continue;
                }
                Ok(state) if state.code != 0 => {
                    return Outcome::Ended(Ended::of_child(state.code, state.status));
                }
                Ok(_) => {}
                Err(Errno(libc::EINTR)) => continue,
                Err(_) => return Outcome::Ended(UNKNOWN),
            }
            // A stop is seen by asking only; the kernel tells the end at once.
            let patience = if self.pidfd < 0 { 10 } else { 200 };
            let run_ended = again.map_or(-1, Again::descriptor);
            let ready = sys::poll_readable([self.pidfd, asker, signals, run_ended], patience);
            if matches!(ready, Ok([_, true, ..] | [_, _, true, _])) {
                return Outcome::Ended(self.kill());
            }
        }
    }

    /// Ends it, and reaps it.
    pub(super) fn kill(&self) -> Ended {
        let _ = sys::kill(self.pid, libc::SIGKILL);
        let killed = sys::wait_for_child(self.pid, libc::WEXITED);
        killed.map_or(UNKNOWN, |state| Ended::of_child(state.code, state.status))
    }

    pub(super) fn release(self) {
        sys::close(self.pidfd);
    }
}
