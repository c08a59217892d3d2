//! The end of a copy that has done its work.
//!
//! Context: IN-PROCESS.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::library::alone::again::{self, coverage};
use crate::library::api::snapshots::flush_output;
use crate::sys;

/// What `cargo test` and the shell know as the code of a panic.
pub(super) const PANICKED: i32 = 101;

/// Does the work of a copy, and ends it with the code that the work returns, or with that of a panic. No
/// destructor and no exit handler runs: what they clean up belongs to the template as well.
pub(super) fn work_and_end(work: impl FnOnce() -> i32) -> ! {
    begin();
    // Nobody sees what a panic has left half done.
    let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED);
    end(code)
}

/// The same, where a panic has to look like a crash: it ends by SIGABRT.
pub(super) fn work_or_abort(work: impl FnOnce()) -> ! {
    begin();
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        flush_output();
        std::process::abort();
    }
    end(0)
}

/// Where each run of this copy begins.
fn begin() {
    again::begin();
    coverage::show();
}

/// The end of a run: the copy goes back, or its process ends.
fn end(code: i32) -> ! {
    flush_output();
    again::end(code);
    sys::exit_group(code)
}
