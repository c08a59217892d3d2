//! A copy that has changed nothing but memory goes back by itself, and makes the next run. That costs some
//! pages that are copied, where a new copy costs the kernel a process.
//!
//! Before its work the copy makes a process that keeps the memory as it is now ([`original`]), and has the
//! kernel show it each system call ([`watch`]). A call that changes nothing but memory is made and noted;
//! with any other the copy becomes an ordinary one, and the program makes the call itself. At the end of a
//! run the copy undoes what was noted ([`calls`]), writes back the pages that it has to itself ([`pages`]),
//! and returns from [`begin`] once more when the template says so.
//!
//! All that a reset uses is in memory that is shared with the template, and not a part of the program's
//! state. It is given back to nobody: the template and each copy inherit the mapping.
//!
//! Context: AS-SAFE.

mod calls;
pub(crate) mod coverage;
mod original;
mod pages;
mod run;
mod shared;
mod watch;

pub(crate) use run::{begin, end};
pub(crate) use shared::Again;
