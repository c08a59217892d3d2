//! What differs between two moments, from the records alone: no tree is searched, but for
//! directories that are new.

mod compare;
mod moment;

pub(crate) use compare::compare;
