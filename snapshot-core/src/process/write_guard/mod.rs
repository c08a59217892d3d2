//! Lets the journal keep a part of a guarded file before libc writes over it
//! ([`crate::terms::guards`]).
//!
//! The functions of libc that write get a jump at their entry, so that its own calls, of
//! standard I/O for example, take it too (`jumps`). As long as no file is guarded that costs a
//! comparison. Otherwise a call finds out which guarded file its descriptor has, if any
//! (`descriptors` remembers it), and whether its range (`range`) is kept: that stands in
//! memory that the program shares with the journal (`shared`). It asks the journal if it is not.
//!
//! A take may find a thread between the look and the write. Then the write counts as one before
//! the take, though the revived thread makes it again: it writes the same bytes to the same
//! place.
//!
//! Limits: a direct system call goes around it, and so does what a program does that was started
//! by an exec; the journal sees the exec. A write beside a `dup2` that puts a guarded file in the
//! place of the same descriptor may look at the one and write to the other.
//!
//! Context: AS-SAFE, also in every write of the program. [`reserve`] is IN-PROCESS.

mod descriptors;
mod jumps;
mod range;
mod shared;

pub(crate) use jumps::begin;
pub use jumps::{before, reserve};
pub use range::Call;
