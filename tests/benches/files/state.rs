//! The states in which a program is measured, and the place of its files.

use snapshot_core::{Arrival, commit, snapshot};

/// Without the tool, before the first take, after a commit, and with so many snapshots.
pub const STATES: [&str; 5] = ["none", "before", "committed", "1", "10"];

/// Brings the program into this state.
pub fn enter(state: &str) {
    match state {
        "none" | "before" => {}
        "committed" => {
            take();
            commit().expect("there is a snapshot");
        }
        depth => {
            for _ in 0..depth.parse().expect("a number") {
                take();
            }
        }
    }
}

/// Leaves it, so that the program ends as one without snapshots.
pub fn leave(state: &str) {
    if !matches!(state, "none" | "before" | "committed") {
        commit().expect("there is a snapshot");
    }
}

fn take() {
    match snapshot().expect("a program like this can be taken") {
        Arrival::Live(_) => {}
        Arrival::Reverted(report) => panic!("it goes on from a snapshot: {report:?}"),
    }
}

/// Whether a state is one of a program under the tool.
pub fn needs_launcher(state: &str) -> bool {
    state != "none"
}

/// A directory for the files of one case, which is empty and the working directory.
pub fn new_place() -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("snapshot-bench-")
        .tempdir()
        .expect("the temp directory is writable");
    std::env::set_current_dir(place.path()).expect("it was just made");
    place
}
