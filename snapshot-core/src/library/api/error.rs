//! Why there is no snapshot, or no revert.
//!
//! Context: IN-PROCESS.
/// Why there is no snapshot, or no revert. The program is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A thread could not be stopped.
    Thread {
        /// Its id.
        tid: i32,
        /// What it is doing, a fragment after "it".
        doing: &'static str,
    },
    /// There are more threads than this many.
    TooManyThreads(u32),
    /// Threads can't be made again: this libc keeps its data about a thread where the engine
    /// does not find it.
    Libc {
        /// What differs.
        what: &'static str,
    },
    /// A step of the engine failed with an errno.
    Failed {
        /// What was being done, a fragment after "while".
        doing: &'static str,
        /// Why.
        errno: i32,
    },
    /// There is no snapshot with that number, or none at all.
    NoSuchSnapshot,
    /// The launcher refused; it has said why on stderr and in its events.
    Refused,
    /// The program runs in a session, which keeps its copies itself.
    InSession,
    /// The program has forked this process; it is not the live process.
    NotTheLiveProcess,
    /// It was called in a hook. What hooks do belongs to the take or the revert under way.
    InHook,
    /// It was called in a signal handler that has interrupted the library in the same thread.
    Busy,
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thread { tid, doing } => {
                write!(f, "thread {tid} could not be stopped: it {doing}")
            }
            Self::TooManyThreads(most) => write!(f, "there are more than {most} threads"),
            Self::Libc { what } => write!(f, "threads can't be made again: {what}"),
            Self::Failed { doing, errno } => write!(
                f,
                "the program could not be copied while {doing}: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::NoSuchSnapshot => f.write_str("there is no such snapshot"),
            Self::Refused => f.write_str("the launcher refused the snapshot"),
            Self::InSession => f.write_str(
                "in a session it is the launcher that copies the program; start it without one",
            ),
            Self::NotTheLiveProcess => {
                f.write_str("this process is a child of the one that is snapshotted")
            }
            Self::InHook => f.write_str("a hook can take no snapshot, and end no branch"),
            Self::Busy => {
                f.write_str("a signal handler has interrupted the library in this thread")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}
