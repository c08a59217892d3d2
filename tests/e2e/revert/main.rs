//! Reverts. No snapshot is ever lost, whatever is killed, stopped or short.

mod alone;
mod cost;
mod faults;
mod hostile;
mod keepers;
mod library;
mod orphans;
mod other_rights;
mod promises;
mod reaping;
mod revert;
mod shortages;
mod storm;
