//! What the supervisor does: take, revert, commit and drop, and the end of a session.

pub(super) mod asking;
mod ending;
mod files;
mod forgetting;
mod preparing;
mod requests;
pub(super) mod reverting;
pub(super) mod silent_copies;
pub(super) mod spare;
mod take_deadlines;
pub(super) mod taking;
mod waiting_revert;
mod waking;
