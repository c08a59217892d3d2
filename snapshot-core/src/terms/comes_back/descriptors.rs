//! What comes back at a revert, and why something does not: one rule for every kind of object.
//!
//! A frozen copy applies it from inside (`objects/`), as it records what it shares with the
//! live process. The doctor applies it from outside, by what `/proc` shows of a process. Each
//! gathers the facts in its own way, and neither decides. Facts that show only from inside have
//! harmless values outside ([`Facts::default`]). The look before a take needs [`refuses_take`]
//! alone.
//!
//! Pure. The launcher has the words for each kind and reason.
//!
//! Context: AS-SAFE.

use super::{
    files::{File, Terminal},
    reasons::{ComesBack, Reasons, Sharing},
    streams::{Pipe, Socket},
};
use crate::terms::{Kind, Why};

/// Whether a kind refuses a take: without the object, the program would go on from a copy with
/// wrong data.
pub const fn refuses_take(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::IoUring | Kind::Aio | Kind::Userfaultfd | Kind::Gpu | Kind::Kvm
    )
}

/// Watched files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watches {
    /// Events wait to be read.
    pub has_unread: bool,
    /// The path of each file is known.
    pub are_paths_known: bool,
}

impl Default for Watches {
    fn default() -> Self {
        Self {
            has_unread: false,
            are_paths_known: true,
        }
    }
}

impl Watches {
    /// Why they do not come back.
    pub fn reasons(&self, sharing: Sharing) -> Reasons {
        if !sharing.is_own() {
            return Reasons::NONE.and(sharing.why());
        }
        Reasons::NONE
            .and(self.has_unread.then_some(Why::Waiting))
            .and((!self.are_paths_known).then_some(Why::NoPath))
    }
}

/// Why an interest list does not come back whole: the files of this many interests are not
/// found in the program.
pub fn interests(unknown: u64) -> Option<Why> {
    // Only another process can have those files then.
    (unknown > 0).then_some(Why::Elsewhere)
}

/// Why an object of a kind that is not recorded does not come back.
pub const fn unrecorded(kind: Kind, is_stateless: bool) -> Option<Why> {
    match kind {
        Kind::Pidfd | Kind::Perf => Some(Why::Process),
        Kind::Other | Kind::Semaphores | Kind::MessageQueue => Some(Why::State),
        Kind::Device if !is_stateless => Some(Why::State),
        _ => None,
    }
}

/// The facts of a descriptor. Each kind uses its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// It is a path alone (`O_PATH`), which has no state.
    pub is_path: bool,
    /// Its owners.
    pub sharing: Sharing,
    /// It is a device without a state.
    pub is_stateless: bool,
    /// For memory with a descriptor: why its contents do not come back ([`super::Room::why`]).
    pub memory: Option<Why>,
    /// Of a file.
    pub file: File,
    /// Of a pipe.
    pub pipe: Pipe,
    /// Of a socket.
    pub socket: Socket,
    /// Of a terminal.
    pub terminal: Terminal,
    /// Of watched files.
    pub watches: Watches,
}

/// What comes back of a descriptor's object.
pub fn descriptor(kind: Kind, facts: &Facts) -> ComesBack {
    if refuses_take(kind) {
        return ComesBack::RefusesTake;
    }
    if facts.is_path {
        return ComesBack::Yes;
    }
    let sharing = facts.sharing;
    let none = Reasons::NONE;
    ComesBack::unless(match kind {
        Kind::File | Kind::Directory => none
            .and(facts.file.contents(kind))
            .and(facts.file.last_close(kind, sharing)),
        Kind::Memfd => none
            .and(facts.memory)
            .and(facts.file.last_close(kind, sharing)),
        Kind::Pipe | Kind::Fifo => none.and(facts.pipe.why(sharing)),
        Kind::Socket => facts.socket.reasons(sharing),
        Kind::Terminal => none
            .and(facts.terminal.unread())
            .and(facts.terminal.last_close(sharing)),
        Kind::Inotify => facts.watches.reasons(sharing),
        Kind::Epoll | Kind::Eventfd | Kind::Timerfd | Kind::Signalfd => none.and(sharing.why()),
        Kind::Pidfd
        | Kind::Perf
        | Kind::Device
        | Kind::Other
        | Kind::Semaphores
        | Kind::MessageQueue => none.and(unrecorded(kind, facts.is_stateless)),
        // These refuse a take, or have no descriptor.
        Kind::IoUring
        | Kind::Userfaultfd
        | Kind::Gpu
        | Kind::Kvm
        | Kind::Aio
        | Kind::SharedMemory
        | Kind::Lock => none,
    })
}
