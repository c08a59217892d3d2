//! Why something was not done, or does not come back: the words for a person. A take, a revert,
//! `show` and `doctor` read them here.

pub(crate) mod family;
pub(crate) mod kinds;
pub(crate) mod obstacles;

pub(crate) use crate::talk::refusal::Refusal;
