//! A request, and who gets the answer.

use crate::talk::{control::Request, event::Trigger};

/// A request, and who gets the answer.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) token: Option<u64>,
    pub(crate) request: Request,
    pub(crate) trigger: Trigger,
    pub(crate) asked_ns: u64,
}

impl Wanted {
    /// A snapshot that a trigger has asked for: nobody waits for an answer.
    pub(crate) fn by_signal(asked_ns: u64) -> Self {
        Self {
            token: None,
            request: Request::Take { label: None },
            trigger: Trigger::Signal,
            asked_ns,
        }
    }
}
