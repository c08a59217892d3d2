//! The functions that stand before libc's: they do what a snapshot must know of, or what a
//! revived process can't do alone.
//!
//! Context: each file says its own.

pub(crate) mod closes;
mod cpu_clocks;
mod exec;
mod exec_environment;
mod exec_lists;
mod filters;
mod first_thread;
mod locked;
mod sigaction;
mod signal_waits;
pub(crate) mod syscall;
mod thread_ids;
mod user_ids;
mod waits;
mod watches;
mod wiped;
pub(crate) mod writes;
