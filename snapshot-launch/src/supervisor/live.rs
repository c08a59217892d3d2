//! The process that runs now: the one door to it, and the only place that knows its number.

use nix::errno::Errno;
use nix::libc;
use snapshot_core::sys::SignalInfo;

use crate::processes::{child::Child, numbers, outside::Outside};
use crate::supervisor::refusal::filters::Filters;

/// The process that runs now.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    /// Its number outside the namespace.
    outer_pid: i32,
    is_alive: bool,
    has_agent: bool,
    trigger_is_kept: bool,
    filters: Filters,
    thread_numbers: Vec<i32>,
    emulator: Option<&'static str>,
}

/// What a snapshot keeps of the process that it was made of.
#[derive(Debug)]
pub(crate) struct Origin {
    pid: i32,
    outer_pid: i32,
    filters: Filters,
    thread_numbers: Vec<i32>,
}

impl Origin {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Its number outside the namespace.
    pub(crate) fn outer_pid(&self) -> i32 {
        self.outer_pid
    }
}

impl Live {
    /// A process that has just been started.
    pub(crate) fn started(child: Child, outside: &Outside, filters: Filters) -> Self {
        Self {
            outer_pid: outside.number_of(child.pid()),
            child,
            is_alive: true,
            has_agent: false,
            trigger_is_kept: false,
            filters,
            thread_numbers: Vec::new(),
            emulator: None,
        }
    }

    /// Its number. After its end, until the next revival, another process may have that number.
    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Its number outside the namespace.
    pub(crate) fn outer_pid(&self) -> i32 {
        self.outer_pid
    }

    /// False from its end to the next revival.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// The process, while it lives.
    pub(crate) fn child(&self) -> Option<&Child> {
        self.is_alive.then_some(&self.child)
    }

    /// Whether `pid` is this process.
    pub(crate) fn is(&self, pid: i32) -> bool {
        self.is_alive && pid == self.pid()
    }

    /// Whether the agent is in it: not before its hello, nor after an exec.
    pub(crate) fn has_agent(&self) -> bool {
        self.has_agent
    }

    /// The emulator that runs the program, if any.
    pub(crate) fn emulator(&self) -> Option<&'static str> {
        self.emulator
    }

    /// The filters of system calls that it has.
    pub(crate) fn filters(&self) -> Filters {
        self.filters
    }

    pub(crate) fn filters_mut(&mut self) -> &mut Filters {
        &mut self.filters
    }

    /// The numbers of its threads but the first, as they were at the last take.
    pub(crate) fn thread_numbers(&self) -> &[i32] {
        &self.thread_numbers
    }

    /// Whether a pending trigger may be the supervisor's own: that request is kept elsewhere.
    pub(crate) fn trigger_is_kept(&self) -> bool {
        self.trigger_is_kept
    }

    /// Notes that a pending trigger may be our own.
    pub(crate) fn keep_trigger(&mut self, is_kept: bool) {
        self.trigger_is_kept = is_kept;
    }

    /// The agent has said hello.
    pub(crate) fn has_loaded_agent(&mut self, emulator: Option<&'static str>) {
        self.has_agent = true;
        self.emulator = emulator;
    }

    /// It is about to become another program, or has become one.
    pub(crate) fn has_lost_agent(&mut self) {
        self.has_agent = false;
    }

    /// It stands still with so many threads.
    pub(crate) fn stands_still(&mut self, threads: u32) {
        self.thread_numbers = match threads {
            1 => Vec::new(),
            _ => numbers::of_other_threads(self.pid()),
        };
    }

    /// What a snapshot of it keeps.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            pid: self.pid(),
            outer_pid: self.outer_pid,
            filters: self.filters,
            thread_numbers: self.thread_numbers.clone(),
        }
    }

    /// It has been reaped.
    pub(crate) fn has_ended(&mut self) {
        self.is_alive = false;
    }

    /// A woken copy goes on as the program; `origin` is what its snapshot kept, and `outer_pid`
    /// its number outside if already known.
    pub(crate) fn goes_on_as(
        &mut self,
        child: Child,
        outer_pid: Option<i32>,
        origin: &Origin,
        outside: &Outside,
    ) {
        self.outer_pid = outer_pid.unwrap_or_else(|| outside.number_of(child.pid()));
        self.child = child;
        self.is_alive = true;
        self.has_agent = true;
        self.trigger_is_kept = false;
        self.filters = origin.filters;
        self.thread_numbers.clone_from(&origin.thread_numbers);
    }

    /// Sends it a signal, if it is there.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        if let Some(child) = self.child() {
            child.signal(signal);
        }
    }

    /// Sends it a signal that carries a value.
    ///
    /// # Errors
    /// ESRCH if it is not there; EAGAIN if its user may queue no more.
    pub(crate) fn queue(&self, info: &SignalInfo) -> nix::Result<()> {
        self.child().ok_or(Errno::ESRCH)?.queue(info)
    }
}
