//! The terminal, where the launcher owns it: raw mode and back, the prefix key, and the
//! modes that a program has switched on.

pub mod keys;
pub(crate) mod modes;
pub(crate) mod raw;
pub(crate) mod size;
