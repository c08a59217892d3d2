//! Readers of kernel data, and memory of the engine's own.
//!
//! Context: AS-SAFE.

pub mod proc_text;
pub(crate) mod procfs;
pub(crate) mod records;
pub mod reserve;
pub mod thread_names;
pub mod tunables;
pub mod unix_diag;
