//! The session as a take sees it, and what happens first in a revived copy.
//!
//! Context: AS-SAFE.

use snapshot_core::acts::session::Session;

use super::pending;
use crate::children::sigchld;
use crate::session;
use crate::signals::senders;

/// What a take must know.
pub(super) fn of_take() -> Session {
    Session {
        name: session::name(),
        trigger: session::trigger_set(),
        kept: session::signals_set(),
        is_kept: senders::is_for_session,
        reseed: session::reseeds(),
        revived,
    }
}

/// In a revived copy, before any thread of the program runs.
fn revived(pid: i32) {
    session::set_live(pid);
    pending::forget();
    sigchld::queue_for_ended();
}
