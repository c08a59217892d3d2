//! How an interrupt came, and what becomes of it.

/// How an interrupt reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Typed in a terminal that the launcher owns; the launcher waits to hear whether
    /// the terminal is to see it.
    Typed,
    /// Sent to a process that is not the live one: the live one has not seen it.
    Elsewhere,
    /// Sent by the kernel to a whole group: the live process has its own.
    Group,
    /// The live process has it, and asks whose it is.
    Live,
}

/// What became of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Reverts,
    /// The program has got its own, or gets it from the kernel.
    Own,
    /// It was sent one of this number: whichever reaches it first is its own.
    Passed(u32),
    Swallowed,
    Held,
}
