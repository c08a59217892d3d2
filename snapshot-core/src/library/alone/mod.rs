//! Snapshots of a program without a launcher: the classic orientation, and the signals that a
//! launcher would serve.
//!
//! Context: AS-SAFE, but for `install_handlers`.

mod handlers;
mod orientation;

pub(super) use handlers::install as install_handlers;
pub(super) use orientation::{forget, is_live, list, revert, take};
