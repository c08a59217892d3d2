//! The children of a template: those that it has itself, and those that its copies leave behind.
//!
//! Context: AS-SAFE.

use crate::kernel::{
    proc_text,
    procfs::{self, TaskFile},
    records::Records,
};
use crate::sys::{self, Errno, SignalSet};

/// The children that a process had at one moment.
pub(crate) struct Offspring {
    known: Records<i32>,
}

impl Offspring {
    /// # Errors
    /// `/proc` can't be read, or there is no memory.
    pub(crate) fn record() -> Result<Self, Errno> {
        let mut known = Records::growing();
        if sys::has_children() {
            let mut outcome = Ok(());
            for_each_child(|child| outcome = outcome.and_then(|()| known.push(child)))?;
            outcome?;
        }
        Ok(Self { known })
    }

    /// Ends all children since: this process is their subreaper, so it has those as well that have
    /// lost their parent. A SIGCHLD for them is not for the program. Returns how many are left.
    pub(crate) fn end_others(&self) -> u32 {
        if self.known.entries().is_empty() && !sys::has_children() {
            return 0;
        }
        let had_signal = sys::pending().meets(SignalSet::only(libc::SIGCHLD));
        let mut left = 0;
        let mut ended = 1;
        // The end of one hands its own children on.
        while ended > 0 {
            (left, ended) = (0, 0);
            let listed = for_each_child(|child| {
                if !self.known.entries().contains(&child) {
                    let _ = sys::kill(child, libc::SIGKILL);
                    match sys::wait_for_child(child, libc::WEXITED) {
                        Ok(_) => ended += 1,
                        Err(_) => left += 1,
                    }
                }
            });
            left += u32::from(listed.is_err());
        }
        if !had_signal && !sys::has_ended_child() {
            let _ = sys::take_pending(SignalSet::only(libc::SIGCHLD));
        }
        left
    }

    pub(crate) fn release(self) {
        self.known.release();
    }
}

fn for_each_child(mut visit: impl FnMut(i32)) -> Result<(), Errno> {
    let tasks = procfs::open_tasks()?;
    let mut outcome = Ok(());
    let listed = procfs::for_each_number_in(tasks, |tid| {
        let mut buffer = [0; 4096];
        match procfs::read_task(tasks, tid, TaskFile::Children, &mut buffer) {
            Ok(children) => proc_text::ids(children).for_each(&mut visit),
            // The thread has ended.
            Err(Errno(libc::ENOENT | libc::ESRCH)) if tid != sys::getpid() => {}
            Err(errno) => outcome = Err(errno),
        }
    });
    sys::close(tasks);
    listed.and(outcome)
}
