//! The steps of a snapshot, in their order: park, split, freeze, revive. `take` tells the story
//! under a launcher.
//!
//! Context: AS-SAFE.

pub(crate) mod freeze;
mod frozen;
pub mod opening;
pub(crate) mod park;
mod recorded;
pub(crate) mod revive;
pub mod session;
pub(crate) mod split;
pub mod take;
