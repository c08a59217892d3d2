//! A launch with everything decided: `launch` makes it, and a session starts from it.

use std::process::Command;
use std::sync::Arc;

use crate::events::Events;
use crate::place::Place;

/// What to start, and what the session must know of it.
pub(crate) struct Prepared {
    pub(crate) command: Command,
    /// All processes of the session carry it in their environment.
    pub(crate) mark: String,
    pub(crate) events: Events,
    /// Whether the command is the tool, and not a program without it.
    pub(crate) tool: bool,
    pub(crate) place: Arc<Place>,
    pub(crate) life_seconds: u32,
}
