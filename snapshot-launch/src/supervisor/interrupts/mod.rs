//! Ctrl+C: who gets it, and what a burst of presses means.

pub(super) mod arrivals;
pub(super) mod presses;
pub(super) mod serve;
pub(super) mod via;
