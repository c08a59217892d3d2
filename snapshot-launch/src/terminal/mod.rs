//! The terminal that the launcher owns: raw mode and back, the prefix key, and the modes that a
//! program has switched on.

pub mod keys;
pub(crate) mod modes;
pub(crate) mod raw;
pub(crate) mod size;
