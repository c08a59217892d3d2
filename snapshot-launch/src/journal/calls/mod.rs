//! The calls that wait for the journal: what each means, and what is done before it happens.

mod guarded;
mod mounts;
mod names;
mod opening;
mod properties;
pub(super) mod serve;
mod sizes;
mod way;
pub(super) mod work;
