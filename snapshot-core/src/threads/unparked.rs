//! Why a thread has not come to be parked.
//!
//! Context: AS-SAFE.

use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
};
use crate::terms::{Hindrance, Obstacle, Thread};

/// The reason for a thread that could not be called.
pub(crate) fn not_signalled(tasks: i32, tid: i32) -> Obstacle {
    match unparked(tasks, tid) {
        Obstacle::Unparked(thread) => Obstacle::Unparked(Thread {
            why: Hindrance::NotSignalled,
            ..thread
        }),
        other => other,
    }
}

/// The reason for this thread.
pub(crate) fn unparked(tasks: i32, tid: i32) -> Obstacle {
    let mut buffer = [0; 2048];
    let mut thread = Thread {
        tid,
        name: [0; 16],
        why: Hindrance::Silent,
    };
    let Ok(status) = procfs::read_task(tasks, tid, TaskFile::Status, &mut buffer) else {
        return Obstacle::Unparked(thread);
    };
    let name = proc_text::field(status, "Name:").unwrap_or(b"");
    let length = name.len().min(15);
    thread.name[..length].copy_from_slice(&name[..length]);
    let state = proc_text::field(status, "State:").and_then(|state| state.first().copied());
    let blocked = proc_text::signals(status, "SigBlk:");
    thread.why = Hindrance::of(state, blocked, || {
        procfs::read_task(tasks, tid, TaskFile::Syscall, &mut buffer)
            .ok()
            .and_then(proc_text::doing)
    });
    Obstacle::Unparked(thread)
}
