//! The supervisor: parent of the live process and of every frozen copy, and the only
//! one that decides who lives.
//!
//! It is a process of its own, so that a launcher that waits for a slow terminal delays
//! nobody, and it holds the timeline, so that the decision and the kill are made in one
//! place and no message can cross another.
//!
//! In the order in which things happen: `begin` and `spawn` start the program, `run` waits
//! for whatever comes (`requests`, `interrupts`, calls of the agent, and deaths, which are
//! `reaping`'s), `asking`, `taking`, `reverting` (with `preparing`, `waking`, `spare` and `held`) and `ending` are the acts. `children` are
//! those of the program that outlive a branch.

mod anchor;
mod apart;
mod asking;
mod begin;
mod birth;
mod child;
mod children;
mod closings;
mod deny;
mod descriptors;
mod echoes;
mod ending;
mod family;
mod filters;
mod headway;
mod held;
mod ids;
mod interrupts;
mod keepers;
mod links;
mod numbers;
mod obstacles;
mod preflight;
mod preparing;
mod presses;
mod reaping;
mod remains;
mod requests;
mod reverting;
mod run;
mod screen;
mod spare;
mod spawn;
mod state;
mod taking;
mod unheard;
mod unstarted;
mod waking;

pub(crate) use begin::run;
pub(crate) use child::{Child, open as open_process};
pub(crate) use family::{
    children as children_of, name_of as process_name, name_out_of_reach, numbers_in, parent_of,
    signal_below,
};
pub(crate) use screen::size_of;
pub(crate) use spawn::{Program, Streams, name_process};
pub(crate) use state::{Config, Group, OuterTerminal};
pub(crate) use unstarted::Unstarted;
