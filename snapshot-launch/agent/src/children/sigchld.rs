//! SIGCHLD of children that the supervisor reaps: the kernel sends none to a revived process,
//! so the process sends them to itself.
//!
//! Context: AS-SAFE.

use snapshot_core::process::children::State;
use snapshot_core::sys::{self, SignalInfo};

use super::table::table;

/// Queues the SIGCHLD of every adopted child that has ended, or stopped, in the dead branch: the
/// branch got the signal, and this process has not. Call it in a revived copy before any of its
/// threads runs, so that the signal interrupts a call as it should.
pub(crate) fn queue_for_ended() {
    let Some(table) = table() else {
        return;
    };
    note_disposition();
    for place in table.adopted() {
        if let Some(status) = table.news(place)
            && !table.hides_stops()
            && table.are_news_to_be_told(place)
        {
            let child = table.child(place);
            let info = SignalInfo::of_child(child.pid, child.user, status, true);
            let _ = sys::queue_to_self(&info);
        }
        if let State::Ended(status) = table.state(place)
            && table.is_to_be_told(place)
        {
            let child = table.child(place);
            // A process may send itself a signal that claims to come from the kernel.
            let info = SignalInfo::of_child(child.pid, child.user, status, true);
            let _ = sys::queue_to_self(&info);
        }
    }
}

/// Records whether the program wants SIGCHLD of children that stop, which the supervisor can't
/// see. Call it whenever the program may have set the signal's disposition.
pub(crate) fn note_disposition() {
    if let Some(table) = table()
        // SAFETY: asks only.
        && let Ok(action) = unsafe { sys::sigaction(libc::SIGCHLD, None) }
    {
        table.hide_stops(action.flags & u64::from(libc::SA_NOCLDSTOP.unsigned_abs()) != 0);
    }
}

/// Whether the program ignores its children, so that the kernel reaps them.
pub(super) fn ignores_children() -> bool {
    // SAFETY: asks only.
    unsafe { sys::sigaction(libc::SIGCHLD, None) }.is_ok_and(|action| {
        action.handler == libc::SIG_IGN
            || action.flags & u64::from(libc::SA_NOCLDWAIT.unsigned_abs()) != 0
    })
}
