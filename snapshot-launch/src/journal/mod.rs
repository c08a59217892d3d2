//! The journal: keeps what files were before their first change since a take, and puts it back
//! at a revert. The program goes on writing to the real files.
//!
//! `process` waits for calls of the session and for the supervisor. `listener` is the kernel's
//! side of a call, `callers` and `credentials` say who calls, `paths` finds what is meant, and
//! `calls` keeps what changes and makes the call. Below lie the `levels`, with their `records`
//! of what was, in `store`s on each filesystem; `undo` puts it back, and `diff` shows it. By
//! their `seals` files that others have changed are told apart.
//!
//! If the journal is killed, its successor finds the `call_under_way`, and the `leftovers` of
//! other sessions that were killed.
//!
//! Big files that are open for writing are kept bit by bit: `guards`.

mod by_descriptor;
pub(crate) mod call_under_way;
mod caller_memory;
mod callers;
mod calls;
mod closed;
mod coverage;
mod credentials;
mod diff;
mod guards;
pub mod leftovers;
mod levels;
mod listener;
mod news;
mod open_files;
mod paths;
pub(crate) mod process;
mod records;
pub(crate) mod scope;
mod seals;
mod stat;
mod store;
mod sys;
#[cfg(test)]
mod tests;
mod undo;
