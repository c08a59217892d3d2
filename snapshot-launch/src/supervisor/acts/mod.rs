//! What the supervisor does: take, revert, commit and drop, and the end of a session.

pub(super) mod asking;
mod children;
mod ending;
mod keepers;
mod preparing;
mod requests;
pub(super) mod reverting;
pub(super) mod spare;
pub(super) mod taking;
pub(super) mod unheard;
mod waiting_revert;
mod waking;
