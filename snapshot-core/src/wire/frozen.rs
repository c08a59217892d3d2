//! A copy of the live process: it is made, records, sleeps, and perhaps comes back to life.
//! [`crate::acts`] has its life from both ends.
//!
//! Context: AS-SAFE.

use super::conversation::{Conversation, WithKeeper, messages};
use crate::terms::{Closed, Ended, Gap, Obstacle, Part, Running, Step};

/// The conversation with a copy, from the split until it runs. A spare has one of its own.
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
        /// From a new copy, before anything else: it is there.
        Made,
        /// It lacks memory that is kept from copies, and has done nothing yet; the next one
        /// will have it.
        Again,
        /// It has found something that will not be as it was.
        Gap(Gap),
        /// It has recorded everything and sleeps.
        Ready,
        /// It could not record everything, and is gone.
        Failed {
            /// What it was at.
            step: Step,
            /// Why.
            errno: i32,
        },
        /// It was sent a signal that is meant for the live process.
        Passed {
            /// Which.
            signal: i32,
            /// By which process, or [`crate::terms::SENDER_OUTSIDE`].
            sender: i32,
        },
        /// It has let go of what it was told.
        LetGo,
        /// It could come back to life, as far as it can tell before the branch has ended.
        Prepared,
        /// It can't come back to life, or leave a spare.
        Hindered(Obstacle),
        /// The woken copy could not put something back.
        NotRestored {
            /// What.
            part: Part,
            /// How many of them.
            count: u32,
        },
        /// The woken copy is about to go on under the id of the process that it was made of:
        /// what ends is only what it was meanwhile.
        Becoming,
        /// It could not, and goes on under the id that it has.
        Stayed {
            /// Why: EPERM where ids may not be chosen, EEXIST where the number is taken.
            errno: i32,
        },
        /// The woken copy is about to let the program's threads go: how it ends from now on is
        /// the program's business.
        Opening {
            /// How many ids are not what they were.
            renewed: u32,
        },
        /// It is the live process now, and runs since this moment.
        Running(Running),
        /// From the keeper of its memory itself: it is there now.
        Keeper,
    }
}

messages! {
    /// From the supervisor.
    pub enum ToFrozen {
        /// The live branch has closed this: let go of it.
        LetGo(Closed),
        /// See whether you can come back to life, and answer. If a descriptor comes along, leave
        /// a frozen copy of yourself behind, which reports there.
        Prepare {
            /// How many threads there must be room for, beside all that run now.
            threads: u32,
        },
        /// Wake up.
        Revive {
            /// When the revert was asked for, or the branch died, on CLOCK_MONOTONIC.
            asked_ns: u64,
            /// How the branch ended.
            ended: Ended,
            /// Take over the original's id: the one that it had outside of the session's
            /// namespace, or 0 where that one can't be chosen.
            same_ids: Option<i32>,
        },
        /// The snapshot is not wanted any more: end, but leave the memory to a keeper.
        Retire,
    }
}
