//! Where sessions put their sockets, and how second terminals find them there.

mod directory;
mod places;

pub(crate) use directory::Place;
pub use places::Door;
pub(crate) use places::{all, directories, open, sweep_for};
