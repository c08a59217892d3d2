//! Where libc and the kernel disagree about a thread.
//!
//! Context: AS-SAFE.

/// Where libc and the kernel disagree about a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Disagreement {
    /// The word that holds the thread's id.
    Tid = 2,
    /// The list of robust mutexes.
    RobustList = 3,
    /// The area of restartable sequences.
    Rseq = 4,
    /// The thread's base address.
    Base = 5,
    /// The processor keeps a second stack of return addresses.
    ShadowStack = 6,
    /// The program has registered an area of restartable sequences itself.
    OwnRseq = 7,
}

impl Disagreement {
    /// By its number.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            2 => Self::Tid,
            3 => Self::RobustList,
            4 => Self::Rseq,
            5 => Self::Base,
            6 => Self::ShadowStack,
            7 => Self::OwnRseq,
            _ => return None,
        })
    }

    /// What it is, for a person.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Tid => "the word where libc keeps a thread's id is not where it should be",
            Self::RobustList => {
                "the list of robust mutexes is not where libc keeps what it knows of a thread"
            }
            Self::Rseq => "the area of restartable sequences is not where libc says it is",
            Self::Base => "the thread's own memory is not where the processor says it is",
            Self::ShadowStack => {
                "the processor guards return addresses with a shadow stack, which can't be made again"
            }
            Self::OwnRseq => {
                "the program has registered an area of restartable sequences itself, and the kernel does not tell where: a thread that comes back would read there on which processor it once was"
            }
        }
    }
}
