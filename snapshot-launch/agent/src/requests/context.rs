//! The session for a take, and the first steps of a revived copy.
//!
//! Context: AS-SAFE.

use snapshot_core::acts::session::Session;

use super::pending;
use crate::children::sigchld;
use crate::session;
use crate::signals::senders;

/// The session's data for a take.
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
