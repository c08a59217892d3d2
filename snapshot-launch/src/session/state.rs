//! What the launcher knows of its session.

use super::{
    clients::Clients,
    event_log::EventLog,
    events_file::EventsFile,
    front::Front,
    outlets::Outlet,
    pty::{Inner, Pty},
    socket::ControlSocket,
};
use crate::ending::Ending;
use crate::supervisor::config::Group;
use crate::talk::{
    channel::{Channel, ToSupervisor},
    control::Request,
    event::Trigger,
    problem::Problem,
    report::Reporter,
    signals::SignalName,
};
use crate::terminal::keys::Key;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use snapshot_core::sys::SignalSet;
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};

/// The parts of a session.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) supervisor: Pid,
    pub(crate) channel: Channel,
    /// `None` if no directory is suitable: then there is no second terminal.
    pub(crate) socket: Option<ControlSocket>,
    /// The reason for that.
    pub(crate) no_socket: Option<io::Error>,
    pub(crate) events: Option<EventsFile>,
    pub(crate) inner: Option<Inner>,
    /// The terminal that the program shares, if there is one.
    pub(crate) front: Option<OwnedFd>,
    pub(crate) group: Group,
    pub(crate) key: Key,
    pub(crate) trigger: SignalName,
    /// The signals that the caller ignores.
    pub(crate) ignored: SignalSet,
    /// Why the session has no namespaces.
    pub(crate) missing: Option<String>,
}

/// The receiver of an answer.
pub(super) enum Waiter {
    Client,
    /// A key was pressed: it prints only refusals and lists.
    Key,
}

/// The launcher, running.
pub(crate) struct Session {
    pub(super) name: String,
    pub(super) supervisor: Pid,
    pub(super) channel: Channel,
    pub(super) socket: Option<ControlSocket>,
    pub(super) no_socket: Option<io::Error>,
    pub(super) log: EventLog,
    pub(super) reporter: Reporter,
    pub(super) pty: Option<Pty>,
    pub(super) front: Option<Front>,
    pub(super) stderr: Outlet,
    /// Whether the reports go to the program's own screen.
    pub(super) reports_on_screen: bool,
    pub(super) colour: bool,
    pub(super) signals: SignalFd,
    pub(super) clients: Clients,
    pub(super) waiters: HashMap<u64, Waiter>,
    pub(super) next_token: u64,
    pub(super) key: Key,
    /// The signals that the caller ignores.
    pub(super) ignored: SignalSet,
    pub(super) fatal: Option<i32>,
    pub(super) ending: Option<Result<Ending, Problem>>,
}

impl Session {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let signals = SignalFd::with_flags(
            &SigSet::all(),
            SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
        )?;
        let stderr_is_terminal = io::stderr().is_terminal();
        let pty = parts
            .inner
            .map(|inner| Pty::new(inner, parts.key))
            .transpose()?;
        let reports_on_screen =
            stderr_is_terminal && pty.as_ref().is_some_and(|pty| pty.raw.is_some());
        Ok(Self {
            name: parts.name,
            supervisor: parts.supervisor,
            channel: parts.channel,
            socket: parts.socket,
            no_socket: parts.no_socket,
            log: EventLog::new(parts.events),
            reporter: Reporter::new(pty.as_ref().map(|_| parts.key.to_string()), parts.missing)
                .with_trigger(parts.trigger),
            pty,
            front: parts
                .front
                .map(|terminal| Front::new(terminal, parts.group)),
            stderr: Outlet::to_shared(io::stderr().as_fd())?,
            reports_on_screen,
            colour: stderr_is_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            signals,
            clients: Clients::default(),
            waiters: HashMap::new(),
            next_token: 1,
            key: parts.key,
            ignored: parts.ignored,
            fatal: None,
            ending: None,
        })
    }

    pub(super) fn say(&self, message: &ToSupervisor) {
        // If the supervisor is gone, the end of the channel and SIGCHLD say so.
        let _ = self.channel.send(message);
    }

    pub(super) fn ask(
        &mut self,
        request: Request,
        trigger: Trigger,
        waiter: Waiter,
        asked_ns: u64,
    ) {
        let token = self.next_token;
        self.next_token += 1;
        self.waiters.insert(token, waiter);
        self.say(&ToSupervisor::Ask {
            token,
            request,
            trigger,
            asked_ns,
        });
    }

    pub(super) fn end_by(&mut self, signal: i32) {
        self.reporter.ends_by(Some(signal));
        self.fatal.get_or_insert(signal);
        self.say(&ToSupervisor::End { signal });
    }

    /// Whether the caller ignores a signal that would end the session: `nohup` ignores SIGHUP,
    /// a shell SIGQUIT for background jobs. SIGTERM always counts.
    pub(super) fn was_ignored(&self, signal: i32) -> bool {
        signal != libc::SIGTERM && self.ignored.meets(SignalSet::only(signal))
    }
}
