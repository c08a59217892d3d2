//! What differs by processor: system call entry and the registers of an interrupted thread. The
//! rest of the engine is the same everywhere.
//!
//! Context: AS-SAFE.

mod own_memory;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use x86_64::*;

pub(crate) use own_memory::{can_read_own_memory, read_own_memory};

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("cargo snapshot runs on x86_64 Linux only, for now");
