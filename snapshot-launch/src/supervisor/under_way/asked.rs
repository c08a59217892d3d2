//! The one take that the live process has been signalled for.

use crate::refusal::Refusal;
use crate::shortage;
use crate::supervisor::under_way::wanted::Wanted;
use crate::talk::event::Moments;
use nix::libc;
use snapshot_core::kernel::proc_text;
use snapshot_core::sys::SignalSet;
use snapshot_core::terms::{InterruptedCall, REQUEST_SIGNAL};

/// The live process has been signalled, and has not called yet.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) number: u32,
    pub(crate) wanted: Wanted,
    pub(crate) moments: Moments,
    pub(crate) deadline_ns: u64,
    /// When to see whether the signal was lost.
    pub(crate) look_ns: u64,
    /// The trigger was sent too.
    pub(crate) by_trigger: bool,
    /// What the program's first thread was doing just before it was last signalled.
    pub(crate) interrupted_call: InterruptedCall,
    /// Why the last signal could not be sent.
    pub(crate) trouble: Option<Trouble>,
}

/// What keeps the supervisor from signalling the live process, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No signal that carries a number can be queued for the program's user.
    NoRoom,
    /// Its `/proc/PID/status` can't be read, with this error.
    Unreadable(i32),
}

impl Asked {
    /// The request, to ask again.
    pub(crate) fn into_wanted(self) -> Wanted {
        self.wanted
    }
}

impl Trouble {
    /// What it is, and what to do.
    pub(crate) fn explain(self, status: &Status) -> Refusal {
        match self {
            Self::NoRoom => Refusal::new(
                "limits",
                format!(
                    "no more signals can be queued for the program's user: {} wait",
                    status.field("SigQ:")
                ),
                shortage::HELP_WITH_SIGNALS,
            ),
            Self::Unreadable(errno) => Refusal::failed(
                format!(
                    "the supervisor can't see how the program is: {}",
                    std::io::Error::from_raw_os_error(errno)
                ),
                shortage::help(errno).unwrap_or("try again"),
            ),
        }
    }
}

/// One reading of the live process's `/proc/PID/status`.
pub(crate) struct Status {
    pub(crate) text: String,
    /// The reading's error, if it failed.
    pub(crate) errno: Option<i32>,
}

impl Status {
    /// A field's value; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map_or("", str::trim)
    }

    /// Why the process can't be signalled just now. A process that is gone is no trouble.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self.errno {
            Some(libc::ENOENT | libc::ESRCH) => None,
            Some(errno) => Some(Trouble::Unreadable(errno)),
            None => self.has_no_room().then_some(Trouble::NoRoom),
        }
    }

    /// Whether the program's user has as many signals queued as the limit allows.
    pub(crate) fn has_no_room(&self) -> bool {
        let (queued, limit) = self.field("SigQ:").split_once('/').unwrap_or(("0", ""));
        let limit = limit.parse().unwrap_or(u64::MAX);
        queued.parse().is_ok_and(|queued: u64| queued >= limit)
    }

    /// Whether the program has blocked a signal in this thread. A thread in the engine, as at the
    /// end of a revert, blocks the request signal too, which no program can.
    pub(crate) fn blocks_by_itself(&self, signal: i32) -> bool {
        self.has(signal, "SigBlk:") && !self.has(REQUEST_SIGNAL, "SigBlk:")
    }

    /// Whether a signal is in one of the signal sets.
    pub(crate) fn has(&self, signal: i32, set: &str) -> bool {
        proc_text::signals(self.text.as_bytes(), set)
            .is_some_and(|set| set.meets(SignalSet::only(signal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_in_the_engine_has_not_blocked_the_trigger_itself() {
        let status = |blocked: u64| Status {
            text: format!(
                "Name:\tx\nSigBlk:\t{blocked:016x}\nSigIgn:\t{:016x}\n",
                u64::MAX
            ),
            errno: None,
        };
        let trigger = 1 << (libc::SIGUSR1 - 1);
        assert!(status(trigger).blocks_by_itself(libc::SIGUSR1));
        assert!(!status(u64::MAX).blocks_by_itself(libc::SIGUSR1));
        assert!(!status(0).blocks_by_itself(libc::SIGUSR1));
    }
}
