//! Freeze: what a frozen copy does until the supervisor speaks, which is next to nothing.
//!
//! It wakes only on the supervisor's word, never on another process's death, so no race decides
//! who lives. All signals but KILL and STOP are blocked. A signal that somebody sends to the
//! copy is meant for the live process, so the copy passes it on. A signal that the kernel sends
//! to a whole group, from a terminal, has reached the live process already.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "makes a keeper")]

use crate::process::keeper;
use crate::sys::{self, Errno, SignalSet};
use crate::terms::{self, Closed, Ended};
use crate::wire::{FromFrozen, Frozen, ToFrozen, link::Link};

/// The supervisor's word to a frozen copy.
pub(crate) enum Word {
    /// Check whether the copy could wake.
    Prepare {
        /// The number of threads that need room.
        threads: u32,
        /// The link of the spare that stays behind, if there is to be one.
        spare: Option<Link<Frozen>>,
    },
    /// Wake.
    Revive(Woken),
}

/// The word that wakes a frozen copy.
pub(crate) struct Woken {
    pub(crate) asked_ns: u64,
    pub(crate) ended: Ended,
    /// If the copy takes over its original's id: the original's id outside, or 0.
    pub(crate) same_ids: Option<i32>,
}

/// Sleeps until the supervisor speaks to this copy. Never returns if the supervisor is gone.
///
/// All signals must be blocked. `let_go` releases what the live branch has closed.
pub(crate) fn freeze(link: &Link<Frozen>, mut let_go: impl FnMut(Closed)) -> Word {
    // Without one the copy is as safe, but passes no signal on.
    let signals = sys::signalfd(SignalSet::ALL).unwrap_or(-1);
    let heard = loop {
        let [word, signal] = match sys::poll_readable([link.fd(), signals], -1) {
            Ok(ready) => ready,
            Err(Errno(libc::EINTR)) => continue,
            // A filter hides the call, so the copy could never be woken.
            Err(_) => sys::exit_group(0),
        };
        if signal {
            pass_on(link, signals);
        }
        if !word {
            continue;
        }
        match link.hear() {
            Ok((
                ToFrozen::Revive {
                    asked_ns,
                    ended,
                    same_ids,
                },
                _,
            )) => {
                break Word::Revive(Woken {
                    asked_ns,
                    ended,
                    same_ids,
                });
            }
            Ok((ToFrozen::Prepare { threads }, passed)) => {
                break Word::Prepare {
                    threads,
                    spare: passed.map(Link::from_fd),
                };
            }
            Ok((ToFrozen::Retire, _)) => retire(link),
            Ok((ToFrozen::LetGo(closed), _)) => {
                let_go(closed);
                // If this fails the supervisor is gone, and waits for nothing.
                let _ = link.say(FromFrozen::LetGo);
            }
            // The supervisor is gone, so the copy has no more purpose.
            Err(_) => sys::exit_group(0),
        }
    };
    if signals >= 0 {
        pass_on(link, signals);
        sys::close(signals);
    }
    heard
}

/// Ends, and leaves the memory to a keeper that the supervisor ends later.
fn retire(link: &Link<Frozen>) -> ! {
    // The keeper shares them for a moment, before the supervisor knows it.
    sys::close_all_descriptors_but(link.fd());
    // Without one the memory is given back at once.
    // SAFETY: a frozen copy has one thread and, being a copy, no keeper.
    if let Ok(keeper) = unsafe { keeper::begin(link, sys::getppid()) } {
        keeper.settle();
    }
    sys::exit_group(0)
}

fn pass_on(link: &Link<Frozen>, signals: i32) {
    while let Some(arrived) = sys::read_signalfd(signals) {
        let sender = terms::sender(arrived.code, arrived.sender);
        // The supervisor's own CONT only makes sure that this copy is not stopped. A CONT from
        // another process is passed on like the STOP before it, or the program would stay
        // stopped.
        let is_supervisors = arrived.signal == libc::SIGCONT && sender == sys::getppid();
        if sender != 0 && !is_supervisors {
            let _ = link.say(FromFrozen::Passed {
                signal: arrived.signal,
                sender,
            });
        }
    }
}
