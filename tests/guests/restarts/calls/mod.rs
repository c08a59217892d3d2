//! The calls, by what they wait for. Each function makes the objects for one row of the table.

pub mod children;
pub mod file_locks;
pub mod interrupted;
pub mod ipc;
pub mod locks;
pub mod polls;
pub mod raw;
pub mod reads;
pub mod signal_waits;
pub mod sleeps;
