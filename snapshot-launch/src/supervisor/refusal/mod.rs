//! What refuses a take, and what a take names.

pub(super) mod apart;
pub(super) mod filters;
pub(super) mod gaps;
pub(super) mod preflight;
