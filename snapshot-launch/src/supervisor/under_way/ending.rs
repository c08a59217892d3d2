//! The end of a session, under way.

use snapshot_core::terms::Ended;

/// The session is ending.
pub(crate) struct Ending {
    /// How long the program's processes may take to end.
    pub(crate) grace_ns: u64,
    /// When that is over. `None` until the session knows all of its own processes: the rest are
    /// told only then.
    pub(crate) deadline_ns: Option<u64>,
    /// How the program ended, once it has.
    pub(crate) status: Option<Ended>,
    /// Whether to name the processes that end with the program.
    pub(crate) names_leftovers: bool,
}
