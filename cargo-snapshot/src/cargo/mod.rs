//! From cargo's flags to the launch, as `cargo run` does it: the target, the one executable
//! that a build gives, and its variables, directory and arguments.
//!
//! `commands::run` calls it, step by step. A file names those below it in this list, never above.
//!
//! - `program_env`: the variables, the working directory and the arguments of the program
//! - `loader_path`: where the program finds its shared libraries
//! - `surroundings`: what the environment, rustc and cargo's configuration add to them
//! - `config_env`: the `[env]` tables of cargo's configuration
//! - `artifact`: `cargo build`, and the one executable among its messages
//! - `target_choice`: the target that the flags mean, by the rules of `cargo run`
//! - `package_spec`: what `-p` may say
//! - `project`: what `cargo metadata` says
//! - `flags`: the flags of `cargo run`, and how they are passed on
//! - `target`: a target by kind and name
//! - `toolchain`: which cargo and which rustc are called

pub mod artifact;
mod config_env;
pub mod flags;
mod loader_path;
mod package_spec;
pub mod program_env;
pub mod project;
#[cfg(test)]
mod samples;
pub mod surroundings;
mod target;
pub mod target_choice;
pub mod toolchain;
