//! The program's children.

pub(in crate::supervisor) mod kept;
mod news;
pub(in crate::supervisor) mod tracked;
mod words;
