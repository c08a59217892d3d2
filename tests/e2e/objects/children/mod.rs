//! The program's own children across a revert: those that were there at the snapshot stay
//! its children, however it waits for them; and the report names them.

mod guest;
mod languages;
mod lives;
mod signals;
mod waits;
mod waits_under_way;
