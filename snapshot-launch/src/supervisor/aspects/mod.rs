//! What a session keeps track of at each step: an aspect a file.

pub(super) mod children;
pub(super) mod closings;
pub(super) mod keepers;
pub(crate) mod screen;
