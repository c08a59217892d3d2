//! Take, in the inverted orientation: the copy freezes, the program lives on.
//!
//! ```text
//! live                          supervisor                    frozen
//!  park
//!  Begin ─────────────────────▶ checks what can't roll back
//!  ◀───────────────── Granted + a link for the copy
//!  split ─────────────────────────────────────────────────────▶ record
//!  Split ─────────────────────▶         ◀───────────────────── Ready
//!  ◀────────────────────── Go   the snapshot exists             sleeps
//!  Running ───────────────────▶ reports it
//! ```
//!
//! Until `Go` nothing has happened that can't be undone by killing the copy: whatever
//! fails, the program goes on untouched.
//!
//! Context: AS-SAFE. Called by the agent, in a handler or from the library.
#![expect(unsafe_code, reason = "splits the process")]

use crate::freeze::{Woken, freeze};
use crate::identity::Identity;
use crate::link::Link;
use crate::objects::Objects;
use crate::park::park;
use crate::split::split_for_parent;
use crate::sys::{self, Side, SignalSet};
use crate::wire::{Ask, Ended, FromAgent, FromSupervisor, Obstacle, Step, Text};

/// A snapshot that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Who asks.
    pub ask: Ask,
    /// Since when, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// What to call it.
    pub label: Text,
}

/// How a take went, seen from the code that asked for it.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// This is the live process, and the snapshot is there.
    Live {
        /// The snapshot's number.
        id: u32,
    },
    /// This is the snapshot, come back to life.
    Revived {
        /// The snapshot's number.
        id: u32,
        /// When the revert was asked for, or the branch died, on CLOCK_MONOTONIC.
        asked_ns: u64,
        /// How the branch before ended.
        ended: Ended,
        /// How many recorded objects could not be put back.
        not_restored: u32,
    },
    /// There is no snapshot; the program goes on.
    Refused(Option<Obstacle>),
}

/// Takes a snapshot of the calling process by way of the supervisor that listens on
/// `name`. `revived` runs in a copy that has come back to life, before any signal can
/// reach it, with its new pid.
///
/// All signals that could run code of the program must be blocked; `trigger` may be
/// open, so that more requests are counted, and is blocked here while the copy is made.
///
/// # Safety
/// The calling thread must be able to leave from here in two processes, one after the
/// other: it may hold nothing that a copy must not have.
pub unsafe fn take(name: &[u8], wish: Wish, trigger: SignalSet, revived: fn(i32)) -> Outcome {
    let unreachable =
        |errno: sys::Errno| Outcome::Refused(Some(Obstacle::Failed(Step::Link, errno.0)));
    let link = match Link::connect(name) {
        Ok(link) => link,
        Err(errno) => return unreachable(errno),
    };
    // SAFETY: passed on to the caller.
    let outcome = unsafe { converse(link, wish, trigger, revived) };
    link.close();
    outcome.unwrap_or_else(unreachable)
}

/// The conversation of one take; an error is one of the link.
unsafe fn converse(
    link: Link,
    Wish { ask, at_ns, label }: Wish,
    trigger: SignalSet,
    revived: fn(i32),
) -> sys::Result<Outcome> {
    link.say(FromAgent::Begin {
        ask,
        at_ns,
        label,
        link_fd: link.fd(),
    })?;
    let hindered = |obstacle| {
        link.say(FromAgent::Hindered(obstacle))?;
        Ok(Outcome::Refused(Some(obstacle)))
    };
    let identity = match park().and_then(|()| Identity::record()) {
        Ok(identity) => identity,
        Err(obstacle) => return hindered(obstacle),
    };
    let (id, copy_link) = match link.hear()? {
        (FromSupervisor::Granted { id }, Some(fd)) => (id, Link::from_fd(fd)),
        _ => return Ok(Outcome::Refused(None)),
    };
    // A handler must not run in the copy before it has frozen.
    let open = sys::block(trigger);
    // SAFETY: `park` has seen no other thread.
    let side = unsafe { split_for_parent() };
    match side {
        Ok(Side::Copy) => {
            link.close();
            let outcome = live_as_frozen(id, copy_link, &identity);
            revived(sys::getpid());
            sys::set_mask(open);
            Ok(outcome)
        }
        Ok(Side::Original(frozen_pid)) => {
            sys::set_mask(open);
            copy_link.close();
            link.say(FromAgent::Split { frozen_pid })?;
            match link.hear()? {
                (FromSupervisor::Go { id }, _) => {
                    // The snapshot stands, whether or not anybody hears this.
                    let _ = link.say(FromAgent::Running {
                        at_ns: sys::now_ns(),
                    });
                    Ok(Outcome::Live { id })
                }
                _ => Ok(Outcome::Refused(None)),
            }
        }
        Err(errno) => {
            sys::set_mask(open);
            copy_link.close();
            hindered(Obstacle::Failed(Step::Split, errno.0))
        }
    }
}

/// The life of a frozen copy, from the split to its return into the program.
fn live_as_frozen(id: u32, link: Link, identity: &Identity) -> Outcome {
    let mut link = link;
    settle(id, identity);
    let mut objects = match Objects::record() {
        Ok(objects) => objects,
        Err(errno) => {
            let _ = link.say(FromAgent::Spoilt(Step::Record, errno.0));
            sys::exit_group(0);
        }
    };
    loop {
        if link.say(FromAgent::Ready { pid: sys::getpid() }).is_err() {
            sys::exit_group(0);
        }
        let Woken {
            asked_ns,
            ended,
            keep,
        } = freeze(link);
        if let Some(next_link) = keep {
            // SAFETY: a frozen copy has one thread.
            match unsafe { split_for_parent() } {
                Ok(Side::Copy) => {
                    // The snapshot stays, in this copy of the copy.
                    link.close();
                    link = next_link;
                    settle(id, identity);
                    continue;
                }
                Ok(Side::Original(frozen_pid)) => {
                    next_link.close();
                    let _ = link.say(FromAgent::Split { frozen_pid });
                }
                Err(errno) => {
                    // Reviving without keeping would lose what was promised: the
                    // supervisor hears of it, and may ask again without.
                    next_link.close();
                    let _ = link.say(FromAgent::Hindered(Obstacle::Failed(Step::Split, errno.0)));
                    continue;
                }
            }
        }
        let not_restored = objects.restore();
        objects.release();
        identity.restore();
        let _ = link.say(FromAgent::Running {
            at_ns: sys::now_ns(),
        });
        link.close();
        return Outcome::Revived {
            id,
            asked_ns,
            ended,
            not_restored,
        };
    }
}

/// First steps of a copy that is to freeze.
fn settle(id: u32, identity: &Identity) {
    sys::set_mask(SignalSet::ALL);
    sys::set_parent_death_signal(libc::SIGKILL);
    // The supervisor may have died before the line above: then nobody will ever wake us.
    if sys::getppid() != identity.parent {
        sys::exit_group(0);
    }
    identity.show_as_frozen(id);
}
