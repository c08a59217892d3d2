//! The journal: keeps what files were before their first change since a take, and puts it back
//! at a revert. The program goes on writing to the real files.
#![cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the journal's process comes next")
)]

mod coverage;
mod levels;
mod records;
mod stat;
mod store;
mod sys;
mod undo;

pub(crate) use coverage::{Coverage, Loss, NotCovered};
pub(crate) use levels::Levels;
pub(crate) use records::{Counts, Want};
pub(crate) use stat::{FileId, Kind, Stat, Timestamp};
pub(crate) use store::{PREFIX, usual_candidates};
pub(crate) use undo::{Outcome, Problem, Restored, recover};
