//! The harness of the end-to-end tests: real binaries, real terminals, real signals.
//!
//! # Theory of operation
//! A test describes what to launch ([`Launch`]), starts it with pipes
//! ([`Launch::piped`]) or in a terminal of its own ([`Launch::terminal`]), and then
//! only ever waits for a condition: an event, a line, a screen, an exit. Every wait has
//! a deadline of its own, every launched program one that the kernel enforces
//! ([`deadline`]), and when a session ends nothing of it may be left ([`leaks`]).
//!
//! The tests know the tool by its command line, its events and what a terminal shows;
//! they use none of its code. The guests are the programs under snapshot, one small
//! program a behaviour; most tests drive `commander`, which answers each command with
//! one line.
//!
//! # Rooms
//! `binaries` builds the tool and finds the guests; `place` is the private directory of
//! a test; `launch` says what to start, `session` is it running, `piped` and `terminal`
//! its two forms; `branch` ends what it tries; `transcript` and `events` are what came
//! out of it; `process` reads `/proc`; `deadline`, `leaks` and `seed` keep tests honest;
//! `outside` stands for programs that may be absent, `user` for an ordinary user, `faults` for a
//! kernel that has run out of something, `clients`
//! and `redis` for those who talk to a server under snapshot.

pub mod binaries;
pub mod branch;
pub mod clients;
pub mod deadline;
pub mod events;
pub mod faults;
pub mod launch;
pub mod leaks;
pub mod outside;
pub mod piped;
pub mod place;
pub mod process;
pub mod redis;
pub mod seed;
pub mod session;
pub mod terminal;
pub mod transcript;
mod user;

pub use branch::Ending;
pub use clients::{Client, Crowd};
pub use events::Event;
pub use faults::{Fault, Faults};
pub use launch::Launch;
pub use nix::sys::signal::Signal;
pub use piped::PipedSession;
pub use place::Place;
pub use seed::Seed;
pub use session::Session;
pub use terminal::TerminalSession;
pub use user::Isolation;
