//! Parsers for the texts of `/proc`: pure functions from bytes to values.
//!
//! They fail only by `None`: a kernel may have another format, and a text may be cut off
//! anywhere.
//!
//! Context: AS-SAFE.

mod call;
mod fdinfo;
mod maps;
mod sched;
mod stat;
mod status;
mod timers;
mod words;

pub use call::doing;
pub use fdinfo::{Interest, Lock, LockKind, Watch, interest, lock, watch};
pub use maps::{
    FileMapping, Mapping, file_mapping, file_mappings, has_flag, mapping, shared_mapping,
};
pub use sched::{last_loaded_ns, last_ran_ns, voluntary_switches};
pub use stat::{Stat, address_space_pages, stat};
pub use status::{queued_signals, resident_bytes, signals};
pub use timers::{Timer, timers};
pub(crate) use words::ids;
pub use words::{field, hexadecimal_field, kilobytes, number, octal_field};

#[cfg(test)]
mod tests;
