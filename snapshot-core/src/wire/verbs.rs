//! The table of all verbs of all conversations, with their numbers.
//!
//! No number stands for two verbs, so no message fits two conversations. The numbers of each end
//! are in a row.
//!
//! Context: AS-SAFE.

/// Makes an enum of each list, and a function from number to verb.
macro_rules! verbs {
    ($($(#[$about:meta])* $end:ident { $($verb:ident = $number:literal),* $(,)? })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum $end {
            $($verb = $number),*
        }

        impl $end {
            /// All of them, in order.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$verb),*];

            pub(super) const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$verb),)*
                    _ => None,
                }
            }
        }
    )*};
}

verbs! {
    /// The live process calls.
    FromCaller {
        Hello = 1,
        Begin = 2,
        Exec = 3,
        Closed = 4,
        Interrupted = 5,
        Revert = 6,
        Commit = 7,
        Drop = 8,
        List = 9,
        Filtered = 10,
        Unfiltered = 11,
        Uses = 12,
    }

    /// The live process, from the beginning of a take to its end.
    FromTaker {
        Parked = 21,
        Split = 22,
        Hindered = 23,
        Running = 24,
        Keeper = 25,
        Listener = 26,
        NoListener = 27,
        Guards = 28,
    }

    /// A copy, from the split until it runs.
    FromFrozen {
        Made = 31,
        Again = 32,
        Gap = 33,
        Ready = 34,
        Failed = 35,
        Passed = 36,
        LetGo = 37,
        Prepared = 38,
        Hindered = 39,
        NotRestored = 40,
        Becoming = 41,
        Stayed = 42,
        Opening = 43,
        Running = 44,
        Keeper = 45,
    }

    /// The supervisor's answers to a call.
    ToCaller {
        Welcome = 65,
        Denied = 66,
        Carry = 67,
        Gone = 68,
        Own = 69,
        Done = 70,
    }

    /// The supervisor's answers in a take.
    ToTaker {
        Granted = 75,
        Denied = 76,
        Go = 77,
    }

    /// What the supervisor asks of a copy.
    ToFrozen {
        LetGo = 85,
        Prepare = 86,
        Revive = 87,
        Retire = 88,
    }
}

/// Whether the agent's side has this verb in any conversation.
pub(super) const fn is_agents(number: u8) -> bool {
    FromCaller::from_number(number).is_some()
        || FromTaker::from_number(number).is_some()
        || FromFrozen::from_number(number).is_some()
}
