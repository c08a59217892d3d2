//! What refuses a take, and what one names.

pub(super) mod apart;
pub(super) mod filters;
pub(super) mod preflight;
pub(super) mod remains;
