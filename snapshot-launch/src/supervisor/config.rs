//! What the launcher decided before the session began.

use crate::flags::{AllowKind, DenyKind, OnExit, OnInterrupt};
use crate::huge_pages::Settings;
use crate::inherited::OwnWays;
use crate::journal::scope::Trees;
use crate::talk::doors;
use nix::sys::termios::Termios;
use snapshot_core::sys::SignalSet;
use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

/// The terminal the launcher took over, as it was before: if the launcher dies by a
/// signal, its supervisor puts it back.
#[derive(Debug)]
pub(crate) struct OuterTerminal {
    pub(crate) terminal: OwnedFd,
    pub(crate) settings: Termios,
}

/// Which process group the program is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Its own, in the terminal that the launcher owns.
    InTerminal,
    /// Its own, in its own session: there is no terminal.
    InSession,
    /// Its own. The launcher puts it in front of the terminal that they share. `at_once`: the
    /// launcher's own group is in front.
    InFront { at_once: bool },
    /// The launcher's, with all that is in the same pipeline.
    Launchers,
}

/// What the launcher decided before the session began.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) session: String,
    pub(crate) launcher_pid: i32,
    pub(crate) program: Program,
    pub(crate) agent: OwnedFd,
    /// The pty's inner side, if the launcher owns one.
    pub(crate) streams: Option<Streams>,
    pub(crate) outer: Option<OuterTerminal>,
    /// The control socket, if any: removed here if the launcher could not.
    pub(crate) door: Option<doors::Place>,
    pub(crate) trigger: i32,
    pub(crate) on_exit: OnExit,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) every: Option<Duration>,
    pub(crate) keep_last: u32,
    pub(crate) at_start: bool,
    /// The trees that roll back; `None` for no file at all.
    pub(crate) trees: Option<Trees>,
    /// Events of takes say where their time went.
    pub(crate) moments: bool,
    pub(crate) reseed: bool,
    pub(crate) allow: Vec<AllowKind>,
    pub(crate) deny: Vec<DenyKind>,
    pub(crate) group: Group,
    /// The supervisor closes these once the program has them.
    pub(crate) inherited: Vec<RawFd>,
}

/// What to run, and with what.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Its argument 0.
    pub(crate) called: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) huge_pages: Option<Settings>,
    pub(crate) directory: Option<PathBuf>,
    /// The signal mask, umask and limits it starts with.
    pub(crate) ways: OwnWays,
    /// The signals it ignores.
    pub(crate) ignored: SignalSet,
}

/// Where the program's input and output go, if not where the launcher's do.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) terminal: OwnedFd,
    /// Whether stderr goes to the terminal too.
    pub(crate) stderr: bool,
}

impl Config {
    /// The time between automatic snapshots, in ns.
    pub(crate) fn every_ns(&self) -> Option<u64> {
        self.every
            .map(|every| u64::try_from(every.as_nanos()).unwrap_or(u64::MAX))
    }
}
