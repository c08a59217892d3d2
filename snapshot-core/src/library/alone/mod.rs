//! Snapshots of a program without a launcher: the classic orientation, and the signals that a
//! launcher would serve; and a program as the template of many copies.
//!
//! Context: AS-SAFE, but for `install_handlers`.

pub(super) mod again;
mod board;
mod handlers;
mod living;
mod orientation;
mod screen;
pub(super) mod template;

pub(super) use board::{is_live, list, notices};
pub(super) use handlers::install as install_handlers;
pub(super) use orientation::{forget, revert, take};
