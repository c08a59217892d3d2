//! Freeze: what a frozen copy does until the supervisor says otherwise, which is next to
//! nothing.
//!
//! It wakes only on the supervisor's word, never on another process's death, so no race
//! decides who lives. Every signal is blocked: none but KILL and STOP reaches it. A
//! signal that somebody sends to it is meant for the live process, and passed on; one
//! that the kernel sends to a whole group, from a terminal, has reached the live process
//! by itself.
//!
//! Context: AS-SAFE.
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::expect_used,
        clippy::unwrap_used
    )
)]

use crate::link::Link;
use crate::sys::{self, SignalSet};
use crate::wire::{Ended, FromAgent, FromSupervisor};

/// The word that woke a frozen copy.
pub(crate) struct Woken {
    pub(crate) asked_ns: u64,
    pub(crate) ended: Ended,
    /// Where the frozen copy that stays behind is to report, if one is to.
    pub(crate) keep: Option<Link>,
}

/// Sleeps until the supervisor wakes this copy. Never returns if the supervisor is gone.
///
/// All signals must be blocked.
pub(crate) fn freeze(link: Link) -> Woken {
    // Without one the copy is as safe, but passes nothing on.
    let signals = sys::signalfd(SignalSet::ALL).unwrap_or(-1);
    let woken = loop {
        let Ok([word, signal]) = sys::poll_readable([link.fd(), signals], -1) else {
            continue;
        };
        if signal {
            pass_on(link, signals);
        }
        if !word {
            continue;
        }
        match link.hear() {
            Ok((
                FromSupervisor::Revive {
                    keep,
                    asked_ns,
                    ended,
                },
                passed,
            )) => {
                break Woken {
                    asked_ns,
                    ended,
                    keep: passed.filter(|_| keep).map(Link::from_fd),
                };
            }
            Ok(_) => {}
            // The supervisor is gone, and with it all reason to be.
            Err(_) => sys::exit_group(0),
        }
    };
    if signals >= 0 {
        pass_on(link, signals);
        sys::close(signals);
    }
    woken
}

fn pass_on(link: Link, signals: i32) {
    while let Some(arrived) = sys::read_signalfd(signals) {
        let from_a_process = arrived.code <= 0 && arrived.sender != 0;
        // CONT is part of being stopped and going on, and says nothing to anybody.
        if from_a_process && arrived.signal != libc::SIGCONT {
            let _ = link.say(FromAgent::Passed {
                signal: arrived.signal,
                sender: arrived.sender,
            });
        }
    }
}
