//! A process's identity beside its threads: its parent, whose death it hears of, and the name
//! that `ps` shows.
//!
//! Context: AS-SAFE.
#![expect(unsafe_code, reason = "becomes another process")]

use crate::kernel::procfs;
use crate::process::ids;
use crate::sys::{self, Errno, SignalSet, ThreadName};
use crate::terms::Obstacle;
use crate::threads::state::ThreadState;

/// The group or session that a process leads. Its number is taken as long as any process is in
/// it, even a frozen copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// It leads none, and is in this group; 0 if the group is in an outer namespace.
    Nothing { group: i32 },
    Group {
        /// Whether its group is in front of the terminal.
        in_front: bool,
    },
    Session {
        /// A descriptor of its controlling terminal, if it has one; else -1.
        terminal: i32,
        /// Whether its group is in front of the terminal.
        in_front: bool,
    },
}

/// Descriptors below this number are searched for the leader's terminal.
const LIKELY: i32 = 256;

impl Leads {
    fn record(pid: i32) -> Self {
        match sys::group_and_session() {
            (_, session) if session == pid => {
                // The kernel answers only for the calling process's own controlling terminal.
                let front = |fd: &i32| sys::foreground_group(*fd);
                let terminal = (0..LIKELY).find(|fd| front(fd).is_ok());
                Self::Session {
                    terminal: terminal.unwrap_or(-1),
                    in_front: terminal.is_some_and(|fd| front(&fd) == Ok(pid)),
                }
            }
            (group, _) if group == pid => Self::Group {
                in_front: on_terminal(|fd| Ok(sys::foreground_group(fd)? == pid)).unwrap_or(false),
            },
            (group, _) => Self::Nothing { group },
        }
    }

    /// Leaves it, so that the live process alone has it. Then its number can be taken again,
    /// and signals that the program sends to its group don't reach the frozen copy.
    fn leave(self) {
        match self {
            // The copy could not come back to it.
            Self::Nothing { group: 0 } => {}
            Self::Nothing { .. } => sys::begin_group(),
            Self::Group { .. } | Self::Session { .. } => self.begin(),
        }
    }

    /// Joins the group that others lead again, or takes the session's terminal again; false if
    /// that is gone.
    fn join_again(self) -> bool {
        let pid = sys::getpid();
        match self {
            // For the library alone the live process is another one, and leads nothing.
            Self::Session { .. } if sys::group_and_session() != (pid, pid) => true,
            Self::Session { terminal, in_front } if terminal >= 0 => {
                let has_it = sys::take_terminal(terminal).is_ok();
                // SIGTTOU is blocked.
                let is_in_front = !in_front || sys::set_foreground_group(terminal, pid).is_ok();
                has_it && is_in_front
            }
            Self::Nothing { group } if group > 0 => sys::join_group(group).is_ok(),
            _ => true,
        }
    }

    /// Makes it again under its number, with its place at the terminal.
    fn begin_again(self) {
        self.begin();
        if self == (Self::Group { in_front: true }) {
            // The kernel sends SIGTTOU for this to a group that is not in front; it is blocked.
            let _ = on_terminal(|fd| sys::set_foreground_group(fd, sys::getpid()));
        }
    }

    /// Makes one of that kind, led by the calling process.
    fn begin(self) {
        match self {
            Self::Nothing { .. } => {}
            Self::Group { .. } => sys::begin_group(),
            Self::Session { .. } => sys::begin_session(),
        }
    }
}

/// Calls `act` with the controlling terminal, if there is one.
fn on_terminal<T>(act: impl FnOnce(i32) -> sys::Result<T>) -> sys::Result<T> {
    let fd = sys::open_to_read(c"/dev/tty", libc::O_NOCTTY)?;
    let done = act(fd);
    sys::close(fd);
    done
}

/// The identity of the process, and of the thread that makes the copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) thread: ThreadState,
    /// That thread's id in the copied process.
    pub(crate) tid: i32,
    parent_death_signal: i32,
    /// The process's id.
    pub(crate) pid: i32,
    leads: Leads,
    /// The parent of this process, and of the frozen copy.
    pub(crate) parent: i32,
}

impl Identity {
    /// Reads it, for the calling thread.
    ///
    /// # Errors
    /// [`crate::terms::Step::Identity`] if the kernel doesn't give it.
    pub(crate) fn record() -> Result<Self, Obstacle> {
        let pid = sys::getpid();
        Ok(Self {
            pid,
            leads: Leads::record(pid),
            thread: ThreadState::record()?,
            tid: sys::gettid(),
            parent_death_signal: sys::parent_death_signal(),
            parent: sys::getppid(),
        })
    }

    /// The first steps of a copy that freezes: no signal reaches it, it ends with its parent,
    /// and it frees its original's number.
    pub(crate) fn settle(&self, id: u32) {
        sys::set_mask(SignalSet::ALL);
        // Signals to the whole group during the copy are pending here too, without their
        // sender: they would look like signals from outside. The live process has its own.
        while sys::take_pending(SignalSet::ALL).is_some() {}
        self.end_with_parent();
        self.leads.leave();
        self.show_as_frozen(id);
    }

    /// Has the kernel end this process with its parent.
    fn end_with_parent(&self) {
        sys::set_parent_death_signal(libc::SIGKILL);
        // The parent may have died before the line above: then nobody will ever wake us.
        if sys::getppid() != self.parent {
            sys::exit_group(0);
        }
    }

    /// In a revived copy, before it has threads: takes over the id of the original, and its id
    /// outside if that is not 0.
    ///
    /// # Errors
    /// As [`ids::take_over`]: this process goes on under the id that it has.
    ///
    /// # Safety
    /// The calling thread must be the only one, and the copy of the recorded one. All signals
    /// must be blocked.
    pub(crate) unsafe fn take_over_id(&self, outer_pid: i32) -> Result<(), Errno> {
        self.thread.give_up_registrations();
        // SAFETY: the caller's promise, and the line above.
        let taken = unsafe { ids::take_over(self.pid, outer_pid) };
        // If this fails, it is tried again with the other registrations.
        let _ = self.thread.register_rseq_again();
        taken?;
        self.end_with_parent();
        self.leads.begin_again();
        Ok(())
    }

    /// How many ids of this process and its first thread differ from the record.
    pub(crate) fn renewed(&self) -> u32 {
        u32::from(sys::getpid() != self.pid || sys::gettid() != self.tid)
    }

    /// Puts the identity back in a copy of that thread; returns how many attributes failed.
    pub(crate) fn restore(&self) -> u32 {
        let mut failed = self.thread.restore_in_copy();
        failed += u32::from(!self.leads.join_again());
        sys::set_parent_death_signal(self.parent_death_signal);
        failed
    }

    /// Names the frozen copy for `ps`: `#3 python`. So `pkill python` hits the live process
    /// alone.
    pub(crate) fn show_as_frozen(&self, id: u32) {
        let mut name: ThreadName = [0; 16];
        let mut at = 0;
        let mut digits = [0; 10];
        let digits = procfs::decimal(id, &mut digits);
        let parts: [&[u8]; 4] = [b"#", digits, b" ", &self.thread.name];
        for &byte in parts.into_iter().flatten() {
            if at < name.len() - 1 {
                name[at] = byte;
                at += 1;
            }
        }
        sys::set_thread_name(name);
    }
}
