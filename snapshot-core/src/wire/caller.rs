//! The live process calls: it sends one message, gets the answer, and hangs up.
//!
//! One call is different: a request for a take becomes the conversation of a [`super::Taker`],
//! and the answer comes there.
//!
//! Context: AS-SAFE.

use super::conversation::{Conversation, messages};
use crate::terms::{Ask, Closed, Filter, OwnUse, Text};

/// The conversation with the live process as it calls.
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
        /// Make a snapshot. A take follows.
        Begin {
            /// Who asks.
            ask: Ask,
            /// When, on CLOCK_MONOTONIC.
            at_ns: u64,
            /// What to call it.
            label: Text,
        },
        /// The program is about to exec, and asks for the agent.
        Exec,
        /// The program closes what snapshots hold and others wait for. It waits until the
        /// snapshots let go.
        Closed(Closed),
        /// The program got a SIGINT. Whose is it?
        Interrupted {
            /// The sending process, or [`crate::terms::SENDER_OUTSIDE`]; 0 if the kernel sent it,
            /// for a terminal.
            sender: i32,
            /// The supervisor's number for the signal, if it sent it; else 0.
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
        /// The filter could not be set.
        Unfiltered(Filter),
        /// The program uses the trigger itself. There is no answer.
        Uses(OwnUse),
    }
}

messages! {
    /// The supervisor's answers.
    pub enum ToCaller {
        /// The answer to a Hello, with the memory of the table of children.
        Welcome {
            /// Take #1 before `main`.
            take_at_start: bool,
            /// Roll no file back.
            no_files: bool,
            /// The journal keeps files: it was told of their changes before an exec.
            journal: bool,
            /// A revert wipes memory that asks to be wiped in copies.
            reseed: bool,
        },
        /// The request is denied; the program goes on.
        Denied,
        /// The agent for the next program, as a descriptor.
        Carry,
        /// No snapshot holds what the live process closes.
        Gone,
        /// The signal is the program's own.
        Own,
        /// The library's request is done.
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
