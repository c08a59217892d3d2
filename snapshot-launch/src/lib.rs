//! The launcher: runs a program in a session in which it can be snapshotted.
//!
//! # Theory of operation
//! [`launch()`] forks a *supervisor* into namespaces of its own, which starts the program with the *agent* preloaded
//! and becomes the parent of every frozen copy; the launcher itself stays with the
//! terminal, the user's signals and the control socket, and passes on what it hears.
//! The supervisor alone decides who lives. A launcher that dies takes its supervisor
//! along, and a supervisor everything below it: nothing is ever left behind.
//!
//! # Limits
//! Files are not rolled back. Where there are no namespaces, ids are new after a revert.
//! See `docs/design.md`.
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
//! - [`flags`], [`terminal`];
//! - `talk`: contracts with others: events, the control socket, the facts of a snapshot.

mod embed;
mod ending;
mod huge_pages;
mod inherited;
pub mod inspect;
mod launch;
mod namespaces;
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
pub use launch::{Launch, launch};
pub use talk::{control, counted, event, facts, problem, signals, timeline_view};
