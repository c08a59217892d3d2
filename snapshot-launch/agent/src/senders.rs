//! Who has sent a signal, and whether that makes it the program's own.
//!
//! The trigger has two masters. What comes from outside the session asks for a snapshot. What
//! the program sends itself, its children and theirs, a timer, a message queue, the kernel:
//! that is the program's own, as without the tool. The kernel tells the sender's number:
//!
//! - 0: a process outside of the namespace;
//! - the program's own, or one below it or below the supervisor, whose child a process becomes
//!   that has lost its parent: inside;
//! - of a process that has ended meanwhile nothing is known any more. In a session's own
//!   namespace whatever has a number is the session's. Without one it is taken for the program's
//!   own where the program wants the signal, since a signal lost is worse than a request to be
//!   repeated; else for a request, since the default would end the program.
//!
//! Context: AS-SAFE.

use core::ffi::c_int;

use snapshot_core::process::lineage::{self, Lineage};
use snapshot_core::sys::{self, SignalInfo};
use snapshot_core::terms::{self, REQUEST_MAGIC, SENDER_OUTSIDE};

use crate::{dispositions, session};

/// Who sent a signal, and what it carries.
pub(crate) struct Sender {
    code: c_int,
    pid: i32,
    value: u64,
}

impl Sender {
    pub(crate) fn of(info: &SignalInfo) -> Self {
        Self {
            code: info.code(),
            pid: info.sender(),
            value: info.value(),
        }
    }

    /// The lower half of a value that carries `magic` in its upper half.
    pub(crate) fn carries(&self, magic: u64) -> Option<u32> {
        (self.code == libc::SI_QUEUE && self.value & !0xffff_ffff == magic)
            .then_some((self.value & 0xffff_ffff) as u32)
    }

    /// Which process, as the supervisor is told.
    pub(crate) fn process(&self) -> i32 {
        terms::sender(self.code, self.pid)
    }

    /// Whether some process meant to send it: not the kernel, nor a timer or the like
    /// that the program has set up itself.
    fn is_sent(&self) -> bool {
        self.process() != 0
    }

    /// Whether this very process has sent it.
    pub(crate) fn is_this_process(&self) -> bool {
        self.is_sent() && self.pid == sys::getpid()
    }

    /// Whether it comes from inside the session, the supervisor excepted. `is_wanted` says
    /// whether the program has a use for the signal.
    pub(crate) fn is_inside(&self, is_wanted: bool) -> bool {
        let supervisor = sys::getppid();
        match self.process() {
            0 => true,
            SENDER_OUTSIDE => false,
            pid if pid == supervisor || self.carries(REQUEST_MAGIC).is_some() => false,
            pid => match lineage::of(pid, &[sys::getpid(), supervisor]) {
                Lineage::Below => true,
                Lineage::Apart => false,
                Lineage::Gone => is_wanted || lineage::is_in_own_namespace(),
            },
        }
    }
}

/// Whether a signal that waits is the session's business alone, and in no snapshot.
pub(crate) fn is_sessions(info: &SignalInfo) -> bool {
    info.signal() != session::trigger() || !Sender::of(info).is_inside(true)
}

/// Whether the program has a use for the trigger: a handler of its own.
pub(crate) fn handles_trigger() -> bool {
    dispositions::wanted(session::trigger()).is_handler()
}
