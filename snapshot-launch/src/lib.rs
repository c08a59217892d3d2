//! The launcher: runs a program in a session in which it can be snapshotted.
//!
//! # Theory of operation
//! [`launch()`] forks a *supervisor* into its own namespaces. The supervisor starts the program
//! with the *agent* preloaded and becomes the parent of every frozen copy. The launcher itself
//! serves the terminal, the user's signals and the control socket, and passes requests on. The
//! supervisor alone decides who lives. If the launcher dies, the supervisor dies with it, and
//! everything below it too: no process is ever left behind.
//!
//! # Limits
//! Files are not rolled back. Without namespaces, ids are new after a revert. See
//! `docs/design.md`.
//!
//! # Rooms
//! A room names what is below it, never above:
//!
//! - `launch`: from the command line to a session that runs;
//! - `session`: the launcher's part, the terminal, keys, clients and events;
//! - `supervisor`: the other process, the only one that decides who lives;
//! - [`doctor`] and [`inspect`]: what this machine allows, what would come back of a process;
//! - `namespaces`, `program`, `inherited`, `huge_pages`: what a program is started in and with;
//! - `processes`: the reader of `/proc/PID`, other processes and their ends;
//! - `refusal`: why something was not done, or does not come back, in words;
//! - [`recover`]: what a killed session has left of a revert of files;
//! - [`flags`], [`terminal`];
//! - `talk`: contracts with others: events, the control socket, the facts of a snapshot.

mod embed;
mod ending;
mod huge_pages;
mod inherited;
pub mod inspect;
mod journal;
mod launch;
mod namespaces;
mod poll_timeout;
mod processes;
mod program;
mod refusal;
mod session;
mod shortage;
mod supervisor;
mod talk;
pub mod terminal;

pub mod cli;
pub mod doctor;
pub mod flags;

pub use ending::Ending;
pub use journal::leftovers as recover;
pub use launch::{Launch, launch};
pub use talk::{control, counted, event, facts, file_changes, problem, signals, timeline_view};
