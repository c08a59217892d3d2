//! The verbs, one file each: its arguments, what it does, what it answers. `cli` calls them.

pub mod commit;
pub mod diff;
pub mod doctor;
pub mod drop;
pub mod exec;
mod inspection;
pub mod list;
pub mod recover;
pub mod revert;
pub mod run;
pub mod sessions;
pub mod take;
