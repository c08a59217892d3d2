//! The program's children across a revert: those of the snapshot stay its children, however it
//! waits for them, and the report names them.

mod guest;
mod languages;
mod lives;
mod signals;
mod waits;
mod waits_under_way;
