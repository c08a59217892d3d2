//! What a program believes to be its own although a copy of it shares it, or lacks it.
//!
//! What the kernel forgets in a copy is [`crate::process`]'s. `Shared` is what both sides
//! have one of: open files and all that descriptors stand for, shared memory, locks. The
//! frozen side records it, a kind a file, and puts it back on revive.
//!
//! The frozen side records first. Then it lets go of what it can make anew or open again:
//! what the program closes then is closed, and whoever reads the other end, or waits for a
//! lock, learns of it. The rest stays shared, and is put back as it was.
//! [`crate::terms::Gap`] names what will not be as it was, by the rule that the doctor reads
//! too ([`crate::terms::comes_back`]).
//!
//! Directory, root and umask, limits and descriptor flags are a copy's own already.
//!
//! Context: AS-SAFE.

mod by_group;
mod contents;
mod counters;
mod descriptors;
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
mod unrecorded;
mod watches;

pub use descriptors::can_compare;
pub use holders::{Inherited, MOST_INHERITED, inherited, note_inherited, note_one_inherited};
pub use ipc::for_each_system_v;
pub use open_marks::{begin as begin_to_mark, closing, for_each_marked, is_marked};
pub use paths::{add_watch, is_local};
pub(crate) use shared::Shared;
pub use shared_memory::leave_files_alone;
