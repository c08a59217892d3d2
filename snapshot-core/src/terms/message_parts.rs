//! The parts of messages.
//!
//! Context: AS-SAFE.

use super::session_signals::REQUEST_SIGNAL;
use crate::sys::SignalSet;
use crate::terms::{Disagreement, Doing, Kind, Why};

/// Bytes inside a message, up to a fixed length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short<const CAPACITY: usize> {
    pub(crate) length: u8,
    pub(crate) bytes: [u8; CAPACITY],
}

impl<const CAPACITY: usize> Short<CAPACITY> {
    const EMPTY: Self = Self {
        length: 0,
        bytes: [0; CAPACITY],
    };

    /// As many of them as fit.
    fn new(bytes: &[u8]) -> Self {
        let mut short = Self::EMPTY;
        for (place, &byte) in short.bytes.iter_mut().zip(bytes) {
            *place = byte;
            short.length += 1;
        }
        short
    }

    /// None if the length is invalid.
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

/// A short text inside a message; longer ones are cut at a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text(pub(crate) Short<{ Self::CAPACITY }>);

impl Text {
    /// The longest text, in bytes.
    pub const CAPACITY: usize = 160;

    /// No text.
    pub const EMPTY: Self = Self(Short::EMPTY);

    /// As much of `text` as fits.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::CAPACITY);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(Short::new(&text.as_bytes()[..end]))
    }

    /// The text; empty if it is invalid.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.0.bytes()).unwrap_or("")
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Who asked for a snapshot, as far as the agent knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A signal sent straight to the live process.
    Signal,
    /// The library.
    Api,
    /// The supervisor, by its request with this number.
    Request(u32),
}

/// What a filter of system calls (seccomp) does to the calls that a snapshot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Nothing.
    Harmless,
    /// It leaves only calls to read, to write and to end.
    Strict,
    /// It lets another process decide.
    Asks,
    /// It forbids the call with this number.
    Forbids(i32),
}

/// Why the agent can't take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// A thread could not be stopped.
    Unparked(Thread),
    /// There are more threads than this many.
    TooManyThreads(u32),
    /// Threads can't be made again with this libc.
    Libc(Disagreement),
    /// A step of the engine failed with an errno.
    Failed(Step, i32),
}

/// A thread that could not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub tid: i32,
    /// Its name, up to a NUL.
    pub name: [u8; 16],
    /// What it is doing.
    pub why: Hindrance,
}

impl Thread {
    /// Its name as text; empty if it is invalid.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(16);
        core::str::from_utf8(&self.name[..end]).unwrap_or("")
    }
}

/// What keeps a thread from stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// Nothing visible.
    Silent,
    /// It is stopped, by a signal or by a debugger.
    Stopped,
    /// It waits in this system call and can't be interrupted; -1 if the call is unknown.
    InKernel(i64),
    /// It blocks every signal, even libc's own.
    BlocksAll,
    /// No more signals can be queued, so it got none.
    NotSignalled,
}

impl Hindrance {
    /// What keeps a thread from stopping, by its state's letter in `/proc` and its blocked
    /// signals; `call` says what it does in the kernel.
    pub fn of(
        state: Option<u8>,
        blocked: Option<SignalSet>,
        call: impl FnOnce() -> Option<Doing>,
    ) -> Self {
        let stops = SignalSet::only(REQUEST_SIGNAL);
        match state {
            Some(b'T' | b't') => Self::Stopped,
            Some(b'D') => match call() {
                Some(Doing::Call(call)) => Self::InKernel(call.number),
                _ => Self::InKernel(-1),
            },
            _ if blocked.is_some_and(|set| set.meets(stops)) => Self::BlocksAll,
            _ => Self::Silent,
        }
    }

    /// What it is doing, a fragment after "it".
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Silent => "did not come to its signal handler",
            Self::Stopped => "is stopped",
            Self::InKernel(libc::SYS_vfork | libc::SYS_clone | 435) => {
                "waits for a process that it has started by vfork"
            }
            Self::InKernel(_) => "waits inside the kernel and can't be interrupted",
            Self::BlocksAll => "blocks every signal, those of libc too",
            Self::NotSignalled => {
                "can't be sent a signal, since no more can be queued for the program's user"
            }
        }
    }

    pub(crate) const fn to_numbers(self) -> (u8, i64) {
        match self {
            Self::Silent => (0, 0),
            Self::Stopped => (1, 0),
            Self::InKernel(call) => (2, call),
            Self::BlocksAll => (3, 0),
            Self::NotSignalled => (4, 0),
        }
    }

    pub(crate) const fn from_numbers(kind: u8, call: i64) -> Option<Self> {
        Some(match kind {
            0 => Self::Silent,
            1 => Self::Stopped,
            2 => Self::InKernel(call),
            3 => Self::BlocksAll,
            4 => Self::NotSignalled,
            _ => return None,
        })
    }
}

/// What a take has found of the parked threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadCounts {
    /// The thread that makes the copy.
    pub tid: i32,
    /// How many threads the program has.
    pub threads: u32,
    /// How many threads the kernel has made for the program, for io_uring: they can't be
    /// copied.
    pub workers: u32,
    /// How many hold a robust mutex.
    pub robust: u32,
    /// How many have another user than the thread that makes the copy.
    pub other_users: u32,
    /// Whether the program has children, ended ones included.
    pub has_children: bool,
    /// Whether the program has made mutexes with priority inheritance.
    pub priority_inheritance: bool,
    /// How many calls have returned EINTR because of the takes before this one.
    pub lost_calls: u32,
}

/// A step of the engine that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Stopping the threads.
    Park = 0,
    /// Reading the thread's own registrations with the kernel.
    Identity = 1,
    /// Copying the process.
    Split = 2,
    /// Recording the kernel objects.
    Record = 3,
    /// Reaching the supervisor.
    Link = 4,
    /// Making the threads again.
    Revive = 5,
    /// Speaking with the supervisor, once it was reached.
    Talk = 6,
}

impl Step {
    /// What was being done, a fragment after "while".
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Park => "stopping its threads",
            Self::Identity => "reading what the kernel keeps of its thread",
            Self::Split => "copying the process",
            Self::Record => "recording what a copy lacks or shares",
            Self::Link => "reaching the supervisor",
            Self::Revive => "making its threads again",
            Self::Talk => "speaking with the supervisor",
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Park,
            1 => Self::Identity,
            2 => Self::Split,
            3 => Self::Record,
            4 => Self::Link,
            5 => Self::Revive,
            6 => Self::Talk,
            _ => return None,
        })
    }
}

/// A socket address in the kernel's format, `struct sockaddr` of any family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub(crate) Short<{ Self::CAPACITY }>);

impl Address {
    /// The longest address: a path of 108 bytes and a family.
    pub const CAPACITY: usize = 110;

    /// No address.
    pub const NONE: Self = Self(Short::EMPTY);

    /// As much of it as fits.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Short::new(bytes))
    }

    /// Its bytes; empty for no address.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.bytes().fmt(f)
    }
}

/// Something that will not be as it was after a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// What it is.
    pub kind: Kind,
    /// Why it will not be.
    pub why: Why,
    /// Its descriptor, or -1.
    pub fd: i32,
    /// Its address or its amount; 0 if there is none.
    pub number: u64,
    /// The peer of a socket.
    pub address: Address,
}

/// A part of what a revived copy puts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// Registrations and attributes of threads.
    Threads,
    /// Memory that is mapped shared.
    Memory,
    /// Memory files.
    MemoryFiles,
    /// Files, opened again, and the program's positions in them.
    Files,
    /// Counters (`eventfd`).
    Counters,
    /// Timers that have a descriptor.
    TimerDescriptors,
    /// Signals to read (`signalfd`).
    SignalDescriptors,
    /// Watched files.
    Watches,
    /// Pipes.
    Pipes,
    /// Sockets.
    Sockets,
    /// Settings of terminals.
    Terminals,
    /// Interest lists of epoll.
    Interests,
    /// Flags of open files.
    Flags,
    /// Locks on files.
    Locks,
    /// Stand-ins for what the branch has closed.
    Closed,
    /// Locked memory, timers and pending signals.
    Process,
    /// What a take names but does not record.
    Unrecorded,
}

impl Part {
    /// Every part, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Threads,
        Self::Memory,
        Self::MemoryFiles,
        Self::Files,
        Self::Counters,
        Self::TimerDescriptors,
        Self::SignalDescriptors,
        Self::Watches,
        Self::Pipes,
        Self::Sockets,
        Self::Terminals,
        Self::Interests,
        Self::Flags,
        Self::Locks,
        Self::Closed,
        Self::Process,
        Self::Unrecorded,
    ];

    /// Back from its number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// The program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Since when, on CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// How many ids of the process and its threads have changed.
    pub renewed: u32,
}

/// What the program itself does with the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnUse {
    /// It has a handler.
    Handles,
    /// It waits for it, by `sigwait` and its kin.
    Waits,
    /// It reads it from a `signalfd`.
    Reads,
    /// It blocks it.
    Blocks,
}

impl OwnUse {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Handles, Self::Waits, Self::Reads, Self::Blocks]
            .into_iter()
            .find(|one| *one as u8 == byte)
    }
}
