//! How a session starts: the supervisor, its namespaces, the program.

pub(super) mod begin;
mod birth;
mod deny;
pub(crate) mod spawn;
