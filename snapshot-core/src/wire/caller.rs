//! The live process calls: it says one thing, gets the answer, and hangs up.
//!
//! One thing is different: a call that asks for a take becomes the conversation of a
//! [`super::Taker`], and the answer comes there.
//!
//! Context: AS-SAFE.

use super::conversation::{Conversation, messages};
use crate::terms::{Ask, Closed, Filter, OwnUse, Text};

/// The conversation with the live process, which wants something.
#[derive(Debug)]
pub enum Caller {}

impl Conversation for Caller {
    type FromAgent = FromCaller;
    type ToAgent = ToCaller;
}

messages! {
    /// From the live process.
    pub enum FromCaller {
        /// The agent is in the program, and its handlers are in place.
        Hello,
        /// A snapshot is wanted. What follows is a take.
        Begin {
            /// By whom.
            ask: Ask,
            /// When, on CLOCK_MONOTONIC.
            at_ns: u64,
            /// What to call it.
            label: Text,
        },
        /// It is about to become another program, and wants the agent again.
        Exec,
        /// It closes what snapshots hold, and others wait for the end of; it waits until they
        /// have let go.
        Closed(Closed),
        /// It got a SIGINT. Whose is it?
        Interrupted {
            /// By which process, or [`crate::terms::SENDER_OUTSIDE`]; 0 where the kernel sent
            /// it, for a terminal.
            sender: i32,
            /// The number of the signal, if the supervisor sent it; else 0.
            passed: u32,
        },
        /// End this branch and go on from a snapshot.
        Revert {
            /// Which; 0 for the newest.
            id: u32,
        },
        /// Drop every snapshot.
        Commit,
        /// Forget one snapshot.
        Drop {
            /// Which.
            id: u32,
        },
        /// How many snapshots are there, and which?
        List,
        /// The program is about to set a filter of system calls.
        Filtered(Filter),
        /// It could not be set after all.
        Unfiltered(Filter),
        /// The program has a use of its own for the trigger. Nobody answers.
        Uses(OwnUse),
    }
}

messages! {
    /// The supervisor's answers.
    pub enum ToCaller {
        /// The answer to a Hello; the memory of the family table comes with it.
        Welcome {
            /// Take #1 before `main`.
            take_at_start: bool,
            /// Roll no file back.
            no_files: bool,
            /// A revert wipes memory that asks to be wiped in copies.
            reseed: bool,
        },
        /// It is not done; the program goes on.
        Denied,
        /// The agent to carry into the next program, as a descriptor.
        Carry,
        /// No snapshot holds what the live process closes.
        Gone,
        /// The signal is the program's own.
        Own,
        /// Done; the answer to a request of the library.
        Done {
            /// How many snapshots there are now.
            depth: u32,
            /// Their numbers, oldest first, as many as fit.
            ids: [u32; LISTED],
        },
    }
}

/// How many ids one answer carries.
pub const LISTED: usize = 32;
