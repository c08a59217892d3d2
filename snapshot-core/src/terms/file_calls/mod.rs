//! The system calls that the journal is asked about.
//!
//! Context: AS-SAFE.

mod call;
mod numbers;

pub use call::{FileCall, OPEN_TO_CHANGE, SET_ATTRIBUTES, SOCKETCALL_BIND};
pub use numbers::{ARCH_I386, ARCH_X86_64, NUMBERS, X32_BIT};
