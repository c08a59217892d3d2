//! The program's children, as far as a snapshot has seen them: a revived process must go on as
//! their parent, which the kernel no longer takes it for.
//!
//! Context: AS-SAFE, as far as the program's `sigaction` and waits are.

pub(crate) mod adopted;
pub(crate) mod reaping;
pub(crate) mod sigchld;
pub(crate) mod table;
pub(crate) mod target;
