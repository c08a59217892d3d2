//! The calls that wait for the journal: what each means, and what is done before it happens.

mod guarded;
mod mounts;
mod names;
mod opening;
mod properties;
mod restricted;
pub(super) mod serve;
mod sizes;
pub(super) mod work;
