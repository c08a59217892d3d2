//! The live process takes a snapshot: from the call that asks for it to the end of the take.
//! [`crate::acts::take`] tells the story.
//!
//! Context: AS-SAFE.

use super::conversation::{Conversation, WithKeeper, messages};
use crate::terms::{InterruptedCall, Obstacle, Running, ThreadCounts};

/// The conversation with the live process in the middle of a take.
#[derive(Debug)]
pub enum Taker {}

impl Conversation for Taker {
    type FromAgent = FromTaker;
    type ToAgent = ToTaker;

    fn brings_descriptor(message: &FromTaker) -> bool {
        matches!(message, FromTaker::Listener { .. } | FromTaker::Guards)
    }
}

impl WithKeeper for Taker {
    const KEEPER: FromTaker = FromTaker::Keeper;
}

messages! {
    /// From the live process.
    pub enum FromTaker {
        /// Every thread stands still.
        Parked(ThreadCounts),
        /// The copy is made.
        Split,
        /// There can't be a snapshot: the program goes on.
        Hindered(Obstacle),
        /// The program runs again, since this moment.
        Running(Running),
        /// From the keeper of its memory: the keeper exists.
        Keeper,
        /// The kernel asks about calls that change files; the listener comes with this.
        Listener {
            /// The program can't gain rights by an exec any more.
            no_new_privs: bool,
            /// That was so before: the program may have restricted itself.
            is_restricted: bool,
            /// A thread with a received question waits for its answer whatever signal comes.
            waits_killable: bool,
        },
        /// There is no listener.
        NoListener {
            /// Why, by the kernel.
            errno: i32,
        },
        /// The program's write functions look whether a file is guarded; the memory where they
        /// look comes with this, before `Parked`.
        Guards,
    }
}

messages! {
    /// From the supervisor.
    pub enum ToTaker {
        /// Go on with the take; a descriptor for the frozen copy comes with it.
        Granted {
            /// The snapshot's number.
            id: u32,
            /// What the first thread was doing when the supervisor signalled it, if it did.
            interrupted_call: InterruptedCall,
            /// Whether to make a keeper for the memory.
            keeper: bool,
            /// Whether to have the kernel ask the journal about calls that change files.
            journal: bool,
        },
        /// Don't take; the program goes on.
        Denied,
        /// The snapshot is complete; go on.
        Go {
            /// The snapshot's number.
            id: u32,
        },
    }
}
