//! The program's children that a snapshot has seen: a revived process must go on as their
//! parent, which it is no longer to the kernel.
//!
//! Context: AS-SAFE, as far as the program's `sigaction` and waits are.

pub(crate) mod adopted;
pub(crate) mod reaping;
pub(crate) mod sigchld;
pub(crate) mod table;
pub(crate) mod target;
