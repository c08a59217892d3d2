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
//! `program` (which one, and can it be snapshotted), `namespaces` and `outside` (the
//! session's own ids, and how others see them), `doctor` (what this machine allows),
//! `inspect` (what would come back of a process) and `verdict` (the words for it),
//! `counted` (counts in words), `huge_pages`, `inherited` (what the program gets of the caller's), `session` (the launcher's part),
//! `supervisor` (the other one's), `terminal`, `report` (what a person reads), `event`
//! and `control` (what scripts and second terminals read), `doors` (where these find a session), `embed` (the agent).

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
