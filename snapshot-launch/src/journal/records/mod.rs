//! What is kept: the states of names and inodes before their first change since a take.

mod blocks;
mod content;
mod copying;
mod guard;
mod level;
mod merge;
mod name;
mod object;
mod properties;

pub(crate) use content::{Content, Want};
pub(crate) use level::{Leaves, Level};
pub(crate) use name::Name;
pub(crate) use object::{Anew, Object, Was};
