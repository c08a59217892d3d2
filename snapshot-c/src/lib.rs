//! The library of cargo snapshot for C and C++: `libsnapshot`, with its header in
//! `include/snapshot.h`.
//!
//! # Theory of operation
//! Every exported function calls the function of `snapshot_core` with the same name and turns its
//! result into a number: 0 or more is success, below 0 is one of the `SNAPSHOT_ERROR_*`. Structures
//! begin with their size, so that they can grow. A panic never gets to the caller: it comes out as
//! an error (`border`).
//!
//! The doc comments here are the header's comments, so they speak of C. `cbindgen.toml` says how
//! the header is made from them, and `tests/header.rs` compares it with the one that is kept.
//!
//! # Rooms
//! A file names what is below it, never above:
//!
//! - `attempt`, `copies`, `deadline`, `hooks`, `reason`, `snapshots`,
//!   `taken`, `phases`, `randomness`: what is exported;
//! - `report`: the structure that a take fills;
//! - `border`: what crosses between C and Rust, and how;
//! - `error`: the error numbers and their texts.
//!
//! Context: IN-PROCESS. No function here may be called in a signal handler.

mod attempt;
mod border;
mod copies;
mod deadline;
mod error;
mod hooks;
mod phases;
mod randomness;
mod reason;
mod report;
mod snapshots;
mod taken;
