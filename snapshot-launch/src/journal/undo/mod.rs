//! The revert of files: from the records of a level to the tree as it was.

mod core_files;
mod foreign;
mod outcome;
mod outsiders;
mod plan;
mod recover;
mod run;
mod stage;
mod stop;
mod trail;
mod way;
mod whereabouts;

pub(crate) use outcome::Outcome;
pub(crate) use outsiders::respect_outsiders;
pub(crate) use recover::recover;
pub(crate) use run::undo;
#[cfg(test)]
pub(crate) use stop::{Stopped, after};
