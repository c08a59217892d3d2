//! The supervisor: parent of the live process and of every frozen copy, and the only
//! one that decides who lives.
//!
//! It is a process of its own, so that a launcher that waits for a slow terminal delays
//! nobody, and it holds the timeline, so that the decision and the kill are made in one
//! place and no message can cross another.
//!
//! In the order in which things happen: `start` brings up the supervisor and the program;
//! `event_loop` waits for whatever comes and hands it on, `reaping` reaps what has ended;
//! `acts` are take, revert, commit, drop and the end, and `interrupts` says whose Ctrl+C it is.
//! They work on `state`, with what is `under_way`, the `snapshot`s and the `live` process.
//! Below lie `aspects`, one thing to keep track of each, and `refusal`, what refuses a take.

mod acts;
mod anchor;
pub(crate) mod aspects;
pub(crate) mod config;
mod descriptors;
mod event_loop;
mod ids;
mod interrupts;
mod links;
mod listener;
mod live;
mod reaping;
mod refusal;
mod snapshot;
mod stand_in;
pub(crate) mod start;
mod state;
mod under_way;

pub(crate) use start::begin::run;
