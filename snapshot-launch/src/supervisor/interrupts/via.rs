//! How an interrupt came, and its outcome.

/// How an interrupt reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Typed in a terminal that the launcher owns; the launcher waits to hear whether to pass
    /// it to the terminal.
    Typed,
    /// Sent to another process: the live one has not seen it.
    Elsewhere,
    /// Sent by the kernel to a whole group: the live process has its own.
    Group,
    /// The live process got it, and asks whose it is.
    Live,
}

/// The outcome of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Reverts,
    /// The program has its own, or gets it from the kernel.
    Own,
    /// The program was sent one with this number: the first to arrive is its own.
    Passed(u32),
    Swallowed,
    Held,
}
