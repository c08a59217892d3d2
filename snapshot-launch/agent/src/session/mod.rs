//! What the agent knows of its session, and its conversations with the supervisor.
//!
//! Context: AS-SAFE.

mod bump;
mod conversation;
mod environment;
mod message;
mod state;

pub(crate) use bump::Bump;
pub(crate) use conversation::{Reply, ask, exchange, report_unreachable, report_use};
pub(crate) use environment::{Strings, environ, for_each, take_message, text_of, texts_of};
pub(crate) use message::{Outgoing, PRELOAD};
pub(crate) use state::{
    asks_for_huge_pages, begin, forbid_snapshots, forbids_snapshots, is_live, name, reseeds,
    set_live, set_program_reseeds, set_reseed, signals, signals_set, trigger, trigger_set,
};
