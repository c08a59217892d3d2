//! The command line, events, the doctor, and how and where sessions start.

mod as_cargo_does;
mod cargo;
mod defects;
mod doctor;
mod events;
mod events_file;
mod harness;
mod isolation;
mod started_by;
