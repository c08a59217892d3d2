//! What refuses a take, and what one names.

pub(super) mod apart;
pub(super) mod filters;
pub(super) mod gaps;
pub(super) mod preflight;
