//! What a program takes for its own, although its copies share it or lack it.
//!
//! [`crate::process`] has what the kernel forgets in a copy. `Shared` has what both sides share:
//! open files and all else behind descriptors, shared memory, locks. The frozen side records it
//! and puts it back on revive. Each kind has its file here.
//!
//! The frozen side records first. Then it lets go of what it can make anew or open again. So a
//! close by the program is a last close, and readers of the other end and waiters for a lock
//! notice it. The rest stays shared and is put back. [`crate::terms::Gap`] names what can't be
//! put back, by the doctor's rule ([`crate::terms::comes_back`]).
//!
//! A copy already has its own directory, root, umask, limits and descriptor flags.
//!
//! Context: AS-SAFE.

mod by_group;
mod contents;
mod counters;
mod descriptors;
mod file_contents;
mod files;
mod flags;
mod holders;
mod interests;
mod ipc;
mod locks;
mod lost;
mod mappings;
mod memberships;
mod memfds;
mod open_marks;
mod option_table;
mod options;
mod pairs;
mod paths;
mod pipes;
mod recording;
mod reopened;
mod shared;
mod shared_memory;
mod signal_descriptors;
mod sockets;
mod terminals;
mod timer_descriptors;
mod unix_questions;
mod unrecorded;
mod watches;

pub use descriptors::can_compare;
pub(crate) use file_contents::file_contents;
pub use file_contents::set_file_contents;
pub use holders::{Inherited, MOST_INHERITED, inherited, note_inherited, note_one_inherited};
pub use ipc::for_each_system_v;
pub use open_marks::{begin as begin_to_mark, closing, for_each_marked, is_marked};
pub use paths::{add_watch, is_local};
pub(crate) use shared::Shared;
