//! The end of a session, under way.

use snapshot_core::terms::Ended;

/// The session is ending.
pub(crate) struct Ending {
    /// How long what the program has started may take to end.
    pub(in crate::supervisor) grace_ns: u64,
    /// When that is over. `None` until the session knows all of its own processes: the rest
    /// hears of the end only then.
    pub(in crate::supervisor) deadline_ns: Option<u64>,
    /// How the program ended, once it has.
    pub(in crate::supervisor) status: Option<Ended>,
    /// Whether to name the processes that end with the program.
    pub(in crate::supervisor) names_leftovers: bool,
}
