//! What a thread was doing when it was interrupted.
//!
//! Context: AS-SAFE.

/// What `/proc/PID/task/TID/syscall` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// On a processor, or about to be, so its call is unknown.
    Running,
    /// Blocked, but in no system call.
    NoCall,
    /// Blocked in this call.
    Call(Call),
}

/// A system call that a thread is blocked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its six argument registers, used or not.
    pub arguments: [u64; 6],
    /// The thread's stack pointer.
    pub stack: u64,
    /// The address that the call returns to.
    pub program: u64,
}

/// The call that a thread was blocked in, seen just before the interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterruptedCall {
    /// Whether anyone has looked at all.
    pub looked: bool,
    /// The call it was blocked in, if it was.
    pub call: Option<Call>,
    /// Since when it slept, if the call has a time limit.
    pub asleep: Option<Asleep>,
    /// The room for control data in the message that it waits for, if known.
    pub control_length: Option<u64>,
}

/// A clock that shows when a thread last ran. Each processor has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// When it last ran. Exact; but since 6.12 a thread that goes to sleep stays queued for a
    /// while, and if its queue moves to another processor meanwhile this time is lost.
    Ran = 0,
    /// When it last took part in a processor's load: at the end of that while. On a busy
    /// processor this clock may be slow, so its answer may be too small, never too large.
    Load = 1,
}

/// When a thread went to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asleep {
    /// The time on that processor's clock, in nanoseconds.
    pub since_ns: u64,
    /// The thread's processor.
    pub processor: u32,
    /// The clock.
    pub clock: Clock,
    /// How often it had gone to sleep by then. If the count is higher later, the thread has
    /// slept again since.
    pub sleeps: u64,
}
