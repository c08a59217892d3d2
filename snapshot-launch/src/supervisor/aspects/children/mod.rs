//! The program's children.

pub(crate) mod kept;
mod news;
pub(crate) mod tracked;
mod words;
