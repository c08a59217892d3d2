//! The terminal, the keys, Ctrl+C, jobs, and the second terminal.

mod control_socket;
mod crowded_socket;
mod interrupts;
mod jobs;
mod prompt;
mod second_terminal;
mod terminal;
mod tour;
