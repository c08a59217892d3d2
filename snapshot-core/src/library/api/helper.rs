//! A thread of the library's that hears of reverts and commits which come from outside, and does what
//! is due then.
//!
//! It sleeps in the kernel otherwise. It is there from the first need for it on, and comes back with
//! the program: a snapshot from before has no such thread, and needs none.
//!
//! Context: IN-PROCESS.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::error::SnapshotError;
use super::own_lock::OwnLock;
use crate::process::notices::Notices;
use crate::sys::{self, SignalSet};

/// What it does after each change: what is due then.
pub(super) type Job = fn();

static JOBS: OwnLock<Vec<Job>> = OwnLock::new(Vec::new());

/// Has it do this after each change from now on. Starts it, if it isn't there.
///
/// # Errors
/// If the kernel gives no thread.
pub(super) fn does(notices: &'static Notices, job: Job) -> Result<(), SnapshotError> {
    let mut jobs = JOBS.lock()?;
    if jobs.contains(&job) {
        return Ok(());
    }
    if jobs.is_empty() {
        // The program's handlers are to run in its own threads.
        let open = sys::block(SignalSet::PROGRAM);
        let made = thread::Builder::new()
            .name("snapshot-hooks".to_owned())
            .spawn(move || work(notices));
        sys::set_mask(open);
        made.map_err(|error| SnapshotError::Failed {
            doing: "starting the thread for its hooks",
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
        })?;
    }
    jobs.push(job);
    Ok(())
}

fn work(notices: &'static Notices) {
    loop {
        let seen = notices.changes();
        // It was begun before its first job was there, and waits for it here.
        let jobs = JOBS.lock().map(|jobs| jobs.clone()).unwrap_or_default();
        for job in jobs {
            // A panic in a hook has been reported, and is no reason to miss the next revert.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
        notices.sleep_until_changed(seen);
    }
}
