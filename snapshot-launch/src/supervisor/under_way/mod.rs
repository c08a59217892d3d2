//! What is under way, as data: a request, a take, a revert. The acts drive it.

pub(super) mod asked;
pub(super) mod coming_back;
pub(super) mod ending;
pub(super) mod reverting;
pub(super) mod silent_copy;
pub(super) mod spare;
pub(super) mod taking;
pub(super) mod waking;
pub(super) mod wanted;
