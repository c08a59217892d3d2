//! Sets the filter by which the kernel asks the journal, and has the listener that its questions
//! come to.
//!
//! It holds for every thread of the process, and for all processes that these make from then on.
//! Nothing takes it away again, and an exec leaves it.
//!
//! Where a signal meets a question: before the journal has received it, the kernel takes the
//! question back, and the call is interrupted or restarts as calls do. After that the thread
//! waits for the answer, and no signal but a deadly one wakes it (`waits_killable`, Linux 5.19):
//! it handles the signal, and parks, once it has the answer. On an older kernel the signal ends
//! the call though the journal may have carried it out.
//!
//! Context: AS-SAFE. In a take, while every other thread is parked.

use super::file_filter::FILTER;
use crate::sys::{self, Errno};

/// What has been set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    /// Where questions come to.
    pub(crate) fd: i32,
    /// The program has lost the right to gain rights by an exec, since the kernel demands that.
    pub(crate) no_new_privs: bool,
    /// A thread with a received question waits for its answer whatever signal comes.
    pub(crate) waits_killable: bool,
}

/// Sets the filter for all threads.
///
/// # Errors
/// EBUSY if the program is listened to already; ESRCH if a thread has filters that the calling
/// one lacks; EINVAL on kernels before 5.7; EMFILE if the program has no descriptor left.
pub(crate) fn listen() -> sys::Result<Listener> {
    match listen_by_right() {
        Err(Errno(libc::EACCES)) => {
            sys::forbid_new_privileges()?;
            listen_by_right().map(|listener| Listener {
                no_new_privs: true,
                ..listener
            })
        }
        answer => answer,
    }
}

fn listen_by_right() -> sys::Result<Listener> {
    let listen = |waits_killable| {
        sys::filter_and_listen(&FILTER, waits_killable).map(|fd| Listener {
            fd,
            no_new_privs: false,
            waits_killable,
        })
    };
    match listen(true) {
        Err(Errno(libc::EINVAL)) => listen(false),
        answer => answer,
    }
}
