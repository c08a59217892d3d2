//! What a session keeps track of at each step: an aspect a file, and [`list`] names them all.

pub(super) mod aspect;
pub(super) mod children;
pub(super) mod closings;
pub(crate) mod files;
pub(super) mod keepers;
pub(super) mod list;
pub(super) mod screen;
