//! The signals that the session serves and the program may use as well: the trigger and
//! SIGINT. What the program wants on them, what the kernel has, and who has sent one.
//!
//! Context: AS-SAFE.

pub(crate) mod dispositions;
pub(crate) mod installed;
pub(crate) mod own_action;
pub(crate) mod senders;
pub(crate) mod shield;
