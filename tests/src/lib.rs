//! The harness of the end-to-end tests: real binaries, real terminals, real signals.
//!
//! # Theory of operation
//! A test describes what to launch ([`Launch`]) and starts it with pipes ([`Launch::piped`]) or
//! in a terminal of its own ([`Launch::terminal`]). Then it only waits for conditions: an
//! event, a line, a screen, an exit. Every wait has a deadline, and the kernel enforces one for
//! every launched program ([`deadline`]). When a session ends nothing of it may be left
//! ([`leaks`]).
//!
//! The tests know the tool by its command line, its events and what a terminal shows; they use
//! none of its code. (The benches do: each launches itself.) The guests are the programs under
//! snapshot, one small program for each behaviour; most tests drive `commander`, which answers
//! each command with one line.
//!
//! # Rooms
//! Each names those below it, and none above.
//!
//! - `redis`, `postgres`: servers.
//! - `examples`: programs that say in their headers what they print.
//! - `outside`: programs that may not be installed.
//! - `python_prompt`: a Python prompt in a terminal.
//! - `launch`: what to start.
//! - `branch`: a live branch from its snapshot to its end.
//! - `piped`, `terminal`: the two forms of a session, with pipes or in a terminal.
//! - `session`: a launched session; `prepared` is its input.
//! - `transcript`, `events`: its output.
//! - `faults`: a kernel that lacks some resource.
//! - `place`: the private directory of a test; `user`: an ordinary user who owns it.
//! - `c_library`: builds and installs the library for C.
//! - `binaries`: builds the tool and finds the guests.
//! - `clients`: clients of a server under snapshot.
//! - `leaks`, `seed`: keep tests honest.
//! - `held`, `tree`: pictures of files, to compare.
//! - `process`: reads `/proc`.
//! - `world`: a state of every kind that a copy can change.
//! - `deadline`: no test can hang.

pub mod binaries;
pub mod branch;
pub mod c_library;
pub mod clients;
pub mod deadline;
pub mod events;
pub mod examples;
pub mod faults;
pub mod held;
pub mod launch;
pub mod leaks;
pub mod outside;
pub mod piped;
pub mod place;
pub mod postgres;
mod prepared;
pub mod process;
mod python_prompt;
pub mod redis;
pub mod seed;
pub mod session;
pub mod terminal;
pub mod transcript;
pub mod tree;
mod user;
mod world;

pub use branch::Ending;
pub use c_library::{CLibrary, Linked};
pub use clients::{Client, Crowd};
pub use events::Event;
pub use faults::{Fault, Faults};
pub use held::Held;
pub use launch::Launch;
pub use nix::sys::signal::Signal;
pub use piped::PipedSession;
pub use place::Place;
pub use seed::Seed;
pub use session::Session;
pub use terminal::TerminalSession;
pub use tree::{Difference, Tree};
pub use user::Isolation;
pub use world::World;
