//! The states in which a program is measured, and the place of its files.

use std::fs;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use snapshot_core::{Arrival, commit, snapshot};

/// Without the tool, without it on an overlay of the program's own, before the first take, after
/// a commit, and with so many snapshots.
pub const STATES: [&str; 6] = ["none", "overlay", "before", "committed", "1", "10"];

/// Brings the program into this state.
pub fn enter(state: &str) {
    match state {
        "none" | "before" => {}
        "overlay" => cover().expect("there can be an overlay"),
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
    if !matches!(state, "none" | "overlay" | "before" | "committed") {
        commit().expect("there is a snapshot");
    }
}

/// Takes a snapshot, and goes on.
pub fn take() {
    match snapshot().expect("a program like this can be taken") {
        Arrival::Live(_) => {}
        Arrival::Reverted(report) => panic!("it goes on from a snapshot: {report:?}"),
    }
}

/// Mounts an overlay over the working directory, in namespaces of this process's own: what a
/// sandbox without rights does instead of a journal.
fn cover() -> std::io::Result<()> {
    let ids = [
        ("uid_map", geteuid().as_raw()),
        ("gid_map", getegid().as_raw()),
    ];
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    for (map, id) in ids {
        fs::write(format!("/proc/self/{map}"), format!("0 {id} 1"))?;
    }
    let lower = std::env::current_dir()?;
    let place = lower.parent().expect("it lies in the place");
    let options = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}",
        lower.display(),
        place.join("upper").display(),
        place.join("work").display()
    );
    let overlay = Some("overlay");
    mount(
        overlay,
        &lower,
        overlay,
        MsFlags::empty(),
        Some(options.as_str()),
    )?;
    // What is mounted there is seen by a path only.
    std::env::set_current_dir(&lower)
}

/// Whether a state is one of a program under the tool.
pub fn needs_launcher(state: &str) -> bool {
    !matches!(state, "none" | "overlay")
}

/// A directory for the files of one case, in which the working directory is empty.
pub fn new_place() -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("snapshot-bench-")
        .tempdir()
        .expect("the temp directory is writable");
    for name in ["files", "upper", "work"] {
        fs::create_dir(place.path().join(name)).expect("it was just made");
    }
    std::env::set_current_dir(place.path().join("files")).expect("it was just made");
    place
}
