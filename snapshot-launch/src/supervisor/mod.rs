//! The supervisor: parent of the live process and of every frozen copy, and the only
//! one that decides who lives.
//!
//! It is a process of its own, so that a launcher that waits for a slow terminal delays
//! nobody, and it holds the timeline, so that the decision and the kill are made in one
//! place and no message can cross another.
//!
//! In the order in which things happen: `begin` and `spawn` start the program, `run` waits
//! for whatever comes (`requests`, `interrupts`, calls of the agent, and deaths, which are
//! `reaping`'s), `asking`, `taking`, `reverting` (with `preparing`, `waking`, `spare` and
//! `waiting_revert`) and `ending` are the acts. `children` are those of the program that
//! outlive a branch.

mod acts;
mod anchor;
pub(crate) mod aspects;
pub(crate) mod config;
mod descriptors;
mod event_loop;
mod ids;
mod interrupts;
mod links;
mod live;
mod reaping;
mod refusal;
mod snapshot;
mod stand_in;
pub(crate) mod start;
mod state;
mod under_way;
mod waiting;

pub(crate) use start::begin::run;
