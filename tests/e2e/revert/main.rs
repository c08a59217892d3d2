//! Reverts. No snapshot is ever lost, whatever is killed, stopped or short.

mod again;
mod ahead;
mod alone;
mod attempts;
mod c_library;
mod copies;
mod cost;
mod examples;
mod faults;
mod hostile;
mod keepers;
mod library;
mod orphans;
mod other_rights;
mod promises;
mod randomness;
mod reaping;
mod revert;
mod shortages;
mod storm;
