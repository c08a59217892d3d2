//! What a thread was doing when it was interrupted.
//!
//! Context: AS-SAFE.

/// What `/proc/PID/task/TID/syscall` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// On a processor, or about to be: nobody can tell.
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
    /// Its arguments, whether it has that many or not.
    pub arguments: [u64; 6],
    /// The thread's stack pointer.
    pub stack: u64,
    /// The address that the call returns to.
    pub program: u64,
}

/// The call that a thread was blocked in, as it was seen just before the interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InterruptedCall {
    /// Whether anybody has looked at all.
    pub looked: bool,
    /// The call it was blocked in, if it was.
    pub call: Option<Call>,
    /// Since when it slept, where that call ends after a while.
    pub asleep: Option<Asleep>,
    /// The room for what comes beside a message that it waits for, where that is known.
    pub control_length: Option<u64>,
}

/// A clock by which the kernel says when a thread was last at work. Each processor has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// When it last ran. Exact; but since 6.12 a thread stays queued for a while as it goes to
    /// sleep, and where its queue is balanced to another processor meanwhile this time is lost.
    Ran = 0,
    /// When it was last part of a processor's load: at the end of that while. This clock may
    /// be slower than time on a busy processor. So what it says is less than the truth at most.
    Load = 1,
}

/// When a thread went to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asleep {
    /// On that clock of that processor, in nanoseconds.
    pub since_ns: u64,
    /// On which the thread was.
    pub processor: u32,
    /// By which this is known.
    pub clock: Clock,
    /// How often it had gone to sleep by then: once more, and this is an earlier sleep.
    pub sleeps: u64,
}
