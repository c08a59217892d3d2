//! The process beside its threads and kernel objects: its ids, what a copy lacks, and its
//! relatives.
//!
//! Context: AS-SAFE.

pub mod children;
pub mod cpu_times;
pub(crate) mod dontfork;
mod file_filter;
pub mod filter_trial;
pub(crate) mod huge_pages;
pub(crate) mod identity;
pub(crate) mod ids;
pub(crate) mod keeper;
mod lacking;
pub mod lineage;
pub mod listener;
pub(crate) mod locked_memory;
pub(crate) mod memory;
pub mod notices;
pub(crate) mod offspring;
pub(crate) mod own_memory;
pub mod own_processes;
pub(crate) mod pending;
pub mod pidfd;
pub(crate) mod posix_timers;
pub(crate) mod room;
pub(crate) mod timers;
pub mod wiped_memory;
pub mod write_guard;

pub(crate) use lacking::Lacking;
