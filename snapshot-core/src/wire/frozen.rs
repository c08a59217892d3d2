//! A copy of the live process: it is made, records, sleeps, and perhaps comes back to life.
//! [`crate::acts`] has its life from both ends.
//!
//! Context: AS-SAFE.

use super::conversation::{Conversation, WithKeeper, messages};
use crate::terms::{Closed, Ended, Gap, Obstacle, Part, Running, Step};

/// The conversation with a copy, from the split until it runs. A spare has its own.
#[derive(Debug)]
pub enum Frozen {}

impl Conversation for Frozen {
    type FromAgent = FromFrozen;
    type ToAgent = ToFrozen;
}

impl WithKeeper for Frozen {
    const KEEPER: FromFrozen = FromFrozen::Keeper;
}

messages! {
    /// From the copy.
    pub enum FromFrozen {
        /// A new copy exists. Its first message.
        Made,
        /// The copy lacks memory that copies do not get, and has done nothing yet. The next copy
        /// will have it.
        Again,
        /// The copy has found something that will not be as it was.
        Gap(Gap),
        /// The copy has recorded everything and sleeps.
        Ready,
        /// The copy could not record everything, and ends.
        Failed {
            /// At which step.
            step: Step,
            /// Why.
            errno: i32,
        },
        /// The copy got a signal for the live process.
        Passed {
            /// Which.
            signal: i32,
            /// The sender, or [`crate::terms::SENDER_OUTSIDE`].
            sender: i32,
        },
        /// The copy has let go as told.
        LetGo,
        /// As far as the copy can tell before the branch ends, it can come back to life.
        Prepared,
        /// The copy can't come back to life, or can't leave a spare.
        Hindered(Obstacle),
        /// The woken copy could not put something back.
        NotRestored {
            /// What.
            part: Part,
            /// How many of them.
            count: u32,
        },
        /// The woken copy is about to go on under the original's id. Only its temporary process
        /// ends.
        Becoming,
        /// The copy could not, and keeps its own id.
        Stayed {
            /// Why: EPERM if it may not choose ids, EEXIST if the id is taken.
            errno: i32,
        },
        /// The woken copy is about to start the program's threads: from now on its end is the
        /// program's own.
        Opening {
            /// How many ids are not what they were.
            renewed: u32,
        },
        /// The copy is the live process now, and runs since this moment.
        Running(Running),
        /// From the keeper of its memory: the keeper exists.
        Keeper,
    }
}

messages! {
    /// From the supervisor.
    pub enum ToFrozen {
        /// The live branch has closed this: let go of it.
        LetGo(Closed),
        /// Check whether you can come back to life, and answer. If a descriptor comes along,
        /// leave a frozen copy, which reports there.
        Prepare {
            /// How many threads must fit, beside all that run now.
            threads: u32,
        },
        /// Wake up.
        Revive {
            /// When somebody asked for the revert, or the branch died, on CLOCK_MONOTONIC.
            asked_ns: u64,
            /// How the branch ended.
            ended: Ended,
            /// Take over the original's id: its id outside the session's namespace, or 0 if that
            /// can't be chosen.
            same_ids: Option<i32>,
        },
        /// End, but leave the memory to a keeper: the snapshot is dropped.
        Retire,
    }
}
