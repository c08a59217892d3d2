//! The process that runs now.

use crate::processes::child::Child;
use crate::supervisor::refusal::filters::Filters;

/// The process that runs now.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) child: Child,
    /// The same as everybody outside sees it.
    pub(crate) outer_pid: i32,
    /// False from its end to the next revival: its number may be another's by then.
    pub(crate) is_alive: bool,
    /// Whether the agent is in it: not before its hello, nor after an exec.
    pub(crate) has_agent: bool,
    /// A trigger that is still pending in it may be the supervisor's own, which is kept
    /// elsewhere.
    pub(crate) trigger_is_kept: bool,
    pub(crate) filters: Filters,
    /// The numbers of its threads but the first, as they were at the last take.
    pub(crate) numbers: Vec<i32>,
    /// What simulates the program, if something does.
    pub(crate) emulator: Option<&'static str>,
}

impl Live {
    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }
}
