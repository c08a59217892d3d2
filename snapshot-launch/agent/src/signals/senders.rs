//! Who has sent a signal, and whether that makes it the program's own.
//!
//! The trigger has two uses. A trigger from outside the session asks for a snapshot. A trigger
//! from the program itself, its descendants, a timer, a message queue or the kernel is the
//! program's own, as without the tool. The kernel names the sender:
//!
//! - 0 is a process outside the session's namespace;
//! - the program, a process below it, or one below the supervisor (which adopts a process that
//!   has lost its parent) is inside;
//! - a process that has ended meanwhile is unknown. In a session's own namespace every sender
//!   with a number belongs to the session. Without such a namespace the signal goes to the
//!   program if the program handles it, since a lost signal is worse than a request that must
//!   be repeated; otherwise it is a request, since the default would end the program.
//!
//! Context: AS-SAFE.

use core::ffi::c_int;

use snapshot_core::process::lineage::{self, Lineage};
use snapshot_core::sys::{self, SignalInfo};
use snapshot_core::terms::{self, REQUEST_MAGIC, SENDER_OUTSIDE};

use super::dispositions;
use crate::session;

/// The sender of a signal, and its value.
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

    /// The process, in the form that messages to the supervisor use.
    pub(crate) fn process(&self) -> i32 {
        terms::sender(self.code, self.pid)
    }

    /// Whether a process sent it on purpose: not the kernel, nor a timer or the like of the
    /// program's.
    fn is_sent(&self) -> bool {
        self.process() != 0
    }

    /// Whether this very process has sent it.
    pub(crate) fn is_this_process(&self) -> bool {
        self.is_sent() && self.pid == sys::getpid()
    }

    /// Whether it comes from inside the session, but not from the supervisor. `is_handled` says
    /// whether the program handles the signal.
    pub(crate) fn is_inside(&self, is_handled: bool) -> bool {
        let supervisor = sys::getppid();
        match self.process() {
            0 => true,
            SENDER_OUTSIDE => false,
            pid if pid == supervisor || self.carries(REQUEST_MAGIC).is_some() => false,
            pid => match lineage::of(pid, &[sys::getpid(), supervisor]) {
                Lineage::Below => true,
                Lineage::Apart => false,
                Lineage::Gone => is_handled || lineage::is_in_own_namespace(),
            },
        }
    }
}

/// Whether a pending signal concerns the session alone, so that no snapshot contains it.
pub(crate) fn is_for_session(info: &SignalInfo) -> bool {
    info.signal() != session::trigger() || !Sender::of(info).is_inside(true)
}

/// Whether the program has a handler of its own for the trigger.
pub(crate) fn handles_trigger() -> bool {
    dispositions::wanted(session::trigger()).is_handler()
}
