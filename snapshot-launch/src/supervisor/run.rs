//! The supervisor's loop: wait for whatever comes, and hand it to whom it concerns.
#![expect(unsafe_code, reason = "reaps processes, takes a terminal")]

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, tcsetattr};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, isatty, setsid, tcsetpgrp};
use snapshot_core::SnapshotId;
use snapshot_core::sys::now_ns;
use snapshot_core::wire::{Ended, FromAgent, FromSupervisor};

use super::echoes::{Echoes, Recipient};
use super::links::{AgentLink, Heard, Switchboard};
use super::presses::Presses;
use super::spawn;
use super::state::{Config, Live, Phase, Supervisor, Wanted};
use crate::channel::{Channel, Received, ToLauncher, ToSupervisor};
use crate::control::{Answer, Listing, Request, SnapshotInfo, remove_socket};
use crate::event::{Event, Tier, Trigger};

/// The kernel's word for "from a terminal, or something else of mine".
const SI_KERNEL: i32 = 0x80;

/// How long the program has to load the agent before that is worth a note.
const HELLO_NS: u64 = 3_000_000_000;

nix::ioctl_write_int_bad!(make_controlling, libc::TIOCSCTTY);

/// Runs the session in a process of its own that the launcher has forked, with every
/// signal blocked. Does not come back.
///
/// It is there before anything that a killed launcher would leave behind, and starts the
/// program only when the launcher says that it is ready.
pub(crate) fn run(config: Config, channel: Channel) -> ! {
    spawn::name_process("snap-supervisor");
    if wait_for_begin(&channel) {
        let channel = Rc::new(channel);
        match begin(config, Rc::clone(&channel)) {
            Ok(mut supervisor) => supervisor.serve(),
            Err(error) => {
                let _ = channel.send(&ToLauncher::NotStarted {
                    errno: error.raw_os_error().unwrap_or(0),
                });
            }
        }
    } else {
        stand_in_for_launcher(&config);
    }
    std::process::exit(0)
}

/// False where the launcher has ended instead.
fn wait_for_begin(channel: &Channel) -> bool {
    loop {
        match channel.receive() {
            Ok(Received::Message(ToSupervisor::Begin)) => return true,
            Ok(Received::Message(_) | Received::Closed) | Err(_) => return false,
            Ok(Received::Nothing) => {
                let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
        }
    }
}

/// Makes everything and starts the program.
fn begin(mut config: Config, channel: Rc<Channel>) -> std::io::Result<Supervisor> {
    prctl::set_child_subreaper(true)?;
    let signals = SignalFd::with_flags(
        &SigSet::all(),
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?;
    let mut anchor = None;
    let terminal = match &config.streams {
        Some(streams) => {
            setsid()?;
            // SAFETY: the request takes a number; 0 means not to steal the terminal.
            unsafe { make_controlling(std::os::fd::AsRawFd::as_raw_fd(&streams.terminal), 0) }?;
            let leader = spawn::anchor()?;
            tcsetpgrp(&streams.terminal, leader)?;
            anchor = Some(leader);
            Some(streams.terminal.try_clone()?)
        }
        // The launcher's own terminal, which the program shares.
        None => {
            let stdin = std::io::stdin();
            if isatty(&stdin).unwrap_or(false) {
                Some(stdin.as_fd().try_clone_to_owned()?)
            } else {
                None
            }
        }
    };
    let address = format!(
        "cargo-snapshot/{}/{:016x}",
        config.launcher_pid,
        random_number()
    );
    let switchboard = Switchboard::open(&address)?;
    let live = spawn::program(
        &config.program,
        &config.agent,
        &address,
        config.trigger,
        config.streams.as_ref(),
        anchor,
    )?;
    // Whoever reads the program's output must see its end when the program has ended.
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    config.program.env.clear();
    let now = now_ns();
    Ok(Supervisor {
        next_tick_ns: config.every.map(|every| now + nanoseconds(every)),
        start_snapshot_due: config.at_start,
        config,
        channel,
        signals,
        switchboard,
        terminal,
        anchor,
        live: Live {
            pid: live,
            is_alive: true,
            has_agent: false,
            trigger_is_kept: false,
        },
        timeline: snapshot_core::timeline::Timeline::default(),
        dying: std::collections::HashSet::new(),
        phase: Phase::Running,
        waiting: std::collections::VecDeque::new(),
        asked: None,
        next_request: 0,
        callers: Vec::new(),
        presses: Presses::default(),
        held: None,
        interrupts: Echoes::default(),
        owed: Vec::new(),
        interrupt_after_take: None,
        started: false,
        spawned_ns: now,
        launcher_gone: false,
    })
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes the address one that nobody can guess and occupy.
fn random_number() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: writes at most the length given, which is the array's.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u64::from_le_bytes(bytes)
}

/// Waits until a link has something to say, or the deadline has passed.
pub(super) fn wait_readable(link: &AgentLink, deadline_ns: u64) {
    let mut fds = [PollFd::new(link.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, timeout_until(Some(deadline_ns)));
}

fn timeout_until(deadline_ns: Option<u64>) -> PollTimeout {
    match deadline_ns {
        None => PollTimeout::NONE,
        Some(at) => {
            let left_ms = at.saturating_sub(now_ns()).div_ceil(1_000_000);
            PollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX))
        }
    }
}

/// Who has something to say.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Channel,
    Switchboard,
    Taker,
    Copy,
    Kept,
    Caller(usize),
    Frozen(SnapshotId),
}

impl Supervisor {
    fn serve(&mut self) {
        loop {
            for source in self.ready() {
                self.hear(source);
            }
            // Only after everything that has come: after a pause of this process, a
            // press that is held may be long due, with the rest of its burst waiting to
            // be read.
            let now = now_ns();
            self.check_take_deadlines(now);
            self.check_revert_deadline(now);
            self.check_held(now);
            self.tick(now);
            if !self.started && now >= self.spawned_ns + HELLO_NS {
                self.report_started();
                self.note("the program has not loaded the agent: it can't be snapshotted");
            }
            if self.check_ending(now) || (self.launcher_gone && self.is_alone()) {
                if self.launcher_gone {
                    stand_in_for_launcher(&self.config);
                }
                return;
            }
            self.serve_waiting();
        }
    }

    /// Waits, and says who is ready: signals first, since a death explains what follows.
    fn ready(&self) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>)> = vec![
            (Source::Signals, self.signals.as_fd()),
            (Source::Channel, self.channel.as_fd()),
            (Source::Switchboard, self.switchboard.as_fd()),
        ];
        // During a revert all calls are the dead branch's, until `wake` has hung up on
        // them; what the revived one wants can wait until it counts as live.
        if matches!(self.phase, Phase::Reverting(_)) {
            sources.pop();
        }
        if self.launcher_gone {
            sources.remove(1);
        }
        match &self.phase {
            Phase::Taking(taking) => {
                sources.push((Source::Taker, taking.link().as_fd()));
                sources.push((Source::Copy, taking.copy().as_fd()));
            }
            Phase::Reverting(reverting) => {
                if let Some(link) = reverting.kept_link() {
                    sources.push((Source::Kept, link.as_fd()));
                }
            }
            Phase::Running | Phase::Ending { .. } => {}
        }
        for (index, caller) in self.callers.iter().enumerate() {
            sources.push((Source::Caller(index), caller.as_fd()));
        }
        for (id, snapshot) in self.timeline.iter() {
            sources.push((Source::Frozen(id), snapshot.link.as_fd()));
        }
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, timeout_until(self.next_deadline())) {
            Ok(_) => {}
            Err(_) => return Vec::new(),
        }
        let mut ready: Vec<Source> = sources
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(false))
            .map(|((source, _), _)| *source)
            .collect();
        // Callers are removed as they are served: from the last one on.
        ready.reverse();
        ready.sort_by_key(|source| match source {
            Source::Signals => 0,
            // Before the copy, whose link ends too when the live process gives up.
            Source::Taker => 1,
            Source::Copy => 2,
            _ => 3,
        });
        ready
    }

    fn next_deadline(&self) -> Option<u64> {
        let revert = match &self.phase {
            Phase::Reverting(reverting) => {
                reverting.deadline(!self.live.is_alive && self.dying.is_empty())
            }
            _ => None,
        };
        let hello = (!self.started).then_some(self.spawned_ns + HELLO_NS);
        let tick = self.next_tick_ns.filter(|_| self.is_running());
        [
            self.take_deadline(),
            revert,
            self.presses.due_at(),
            self.ending_deadline(),
            hello,
            tick,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Channel => self.hear_launcher(),
            Source::Switchboard => {
                while let Some((link, pid)) = self.switchboard.accept() {
                    if pid == self.live.pid {
                        self.callers.push(link);
                    }
                }
            }
            Source::Taker => self.hear_taker(),
            Source::Copy => self.hear_copy(),
            Source::Kept => self.hear_kept(),
            Source::Caller(index) => self.hear_caller(index),
            Source::Frozen(id) => self.hear_frozen(id),
        }
    }

    fn hear_frozen(&mut self, id: SnapshotId) {
        let Some(snapshot) = self.timeline.get(id) else {
            return;
        };
        match snapshot.link.hear() {
            Heard::Message(FromAgent::Passed { signal, sender }) => {
                self.passed_on(id, signal, sender);
            }
            Heard::Message(message) => {
                let woken =
                    matches!(&self.phase, Phase::Reverting(reverting) if reverting.target() == id);
                if woken {
                    self.hear_woken(message);
                }
            }
            Heard::Nothing => {}
            // Its death is told by SIGCHLD too, and then it leaves the timeline; until
            // that has come there is nothing to do but not to spin.
            Heard::Closed => self.reap(),
        }
    }

    /// The live process calls.
    fn hear_caller(&mut self, index: usize) {
        let Some(caller) = self.callers.get(index) else {
            return;
        };
        match caller.hear() {
            Heard::Nothing => {}
            Heard::Closed => {
                self.callers.remove(index);
            }
            Heard::Message(message) => {
                let link = self.callers.remove(index);
                self.serve_caller(link, message);
            }
        }
    }

    fn serve_caller(&mut self, link: AgentLink, message: FromAgent) {
        match message {
            FromAgent::Hello => {
                self.live.has_agent = true;
                if !self.started {
                    self.report_started();
                }
                link.say(&FromSupervisor::Welcome {
                    take_at_start: self.start_snapshot_due,
                });
            }
            FromAgent::Exec => {
                self.live.has_agent = false;
                self.spawned_ns = now_ns();
                link.hand(&FromSupervisor::Carry, &self.config.agent);
            }
            FromAgent::Begin {
                ask,
                at_ns,
                label,
                link_fd,
            } => self.begin_take(link, ask, at_ns, label, link_fd),
            FromAgent::Interrupted { sender, passed } => {
                self.interrupt_asked(link, sender, passed);
            }
            FromAgent::Revert { id } => {
                let id = (id != 0).then(|| SnapshotId::new(id));
                if !self.is_running()
                    || !self.begin_revert(id, false, Ended::Reverted, now_ns(), None)
                {
                    link.say(&FromSupervisor::Denied);
                }
            }
            FromAgent::Commit => {
                self.commit();
                link.say(&self.listing_for_agent());
            }
            FromAgent::Drop { id } => {
                let answer = match self.drop_snapshot(SnapshotId::new(id)) {
                    Some(_) => self.listing_for_agent(),
                    None => FromSupervisor::Denied,
                };
                link.say(&answer);
            }
            FromAgent::List => link.say(&self.listing_for_agent()),
            FromAgent::Hindered(_)
            | FromAgent::Split { .. }
            | FromAgent::Ready { .. }
            | FromAgent::Spoilt(..)
            | FromAgent::Running { .. }
            | FromAgent::Passed { .. } => link.say(&FromSupervisor::Denied),
        }
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            let sender = i32::try_from(info.ssi_pid).unwrap_or(0);
            let from_kernel = info.ssi_code == SI_KERNEL;
            match signal {
                libc::SIGCHLD => self.reap(),
                libc::SIGINT if from_kernel => self.interrupt_elsewhere(Recipient::Supervisor, 0),
                // The kernel's other signals have reached whom they concern.
                _ if from_kernel => {}
                libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                    // As if the launcher had been sent it, which then takes part.
                    let _ = kill(
                        Pid::from_raw(self.config.launcher_pid),
                        Signal::try_from(signal).ok(),
                    );
                }
                libc::SIGCONT | libc::SIGPIPE => {}
                _ => self.signalled(Recipient::Supervisor, signal, sender),
            }
        }
    }

    /// Reaps whatever has ended, and says so to whom it concerns.
    fn reap(&mut self) {
        self.keep_pending_trigger();
        loop {
            let mut status = 0;
            let flags = libc::WNOHANG | libc::WUNTRACED | libc::__WALL;
            // SAFETY: waitpid writes one status, a live local.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid <= 0 {
                if pid < 0 && Errno::last() == Errno::EINTR {
                    continue;
                }
                return;
            }
            if libc::WIFSTOPPED(status) {
                if pid == self.live.pid {
                    self.tell(&ToLauncher::Stopped);
                }
                continue;
            }
            let ended = if libc::WIFEXITED(status) {
                Ended::Exited(libc::WEXITSTATUS(status))
            } else {
                Ended::Killed(libc::WTERMSIG(status))
            };
            self.ended(pid, ended);
        }
    }

    fn ended(&mut self, pid: i32, ended: Ended) {
        let woken = match &self.phase {
            Phase::Reverting(reverting) => self
                .timeline
                .get(reverting.target())
                .is_some_and(|snapshot| snapshot.pid == pid),
            _ => false,
        };
        if woken {
            // It may have come to life, said so, and ended again before we looked.
            self.hear_last_words_of_woken();
        }
        if woken && matches!(self.phase, Phase::Reverting(_)) {
            self.target_died();
        } else if self.live.is_alive && pid == self.live.pid {
            self.live.is_alive = false;
            if matches!(self.phase, Phase::Reverting(_)) {
                self.clear_branch();
            } else {
                self.live_ended(ended);
            }
        } else if let Some(id) = self.snapshot_of(pid) {
            self.timeline.remove(id);
            if !matches!(self.phase, Phase::Ending { .. }) {
                self.event(Event::Dropped { id: id.number() });
                let how = match ended {
                    Ended::Killed(signal) => crate::signals::name_of(signal),
                    _ => "an exit".to_owned(),
                };
                self.note(format!(
                    "{id} is lost: its frozen copy (pid {pid}) ended by {how}"
                ));
            }
        } else {
            self.dying.remove(&pid);
            self.clear_branch();
        }
    }

    fn hear_launcher(&mut self) {
        loop {
            match self.channel.receive() {
                Ok(Received::Message(message)) => self.serve_launcher(message),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.launcher_gone = true;
                    self.end_at_once();
                    return;
                }
            }
        }
    }

    fn serve_launcher(&mut self, message: ToSupervisor) {
        match message {
            ToSupervisor::Begin => {}
            ToSupervisor::Ask {
                token,
                request,
                trigger,
                asked_ns,
            } => self.serve_request(Wanted {
                token: Some(token),
                request,
                trigger,
                asked_ns,
            }),
            ToSupervisor::Typed { at_ns } => self.interrupt_typed(at_ns),
            ToSupervisor::Signalled { signal, sender } => {
                self.signalled(Recipient::Launcher, signal, sender);
            }
            ToSupervisor::End { signal } => self.end_by(signal),
            ToSupervisor::Stop => {
                self.signal_live(Signal::SIGSTOP);
            }
            ToSupervisor::Continue => {
                self.signal_live(Signal::SIGCONT);
                // What was in front with it was stopped with it.
                if let Some(group) = self.anchor {
                    let _ = nix::sys::signal::killpg(group, Signal::SIGCONT);
                }
            }
        }
    }

    /// Serves a request now, or keeps it until the program runs again.
    fn serve_request(&mut self, wanted: Wanted) {
        if matches!(wanted.request, Request::List) {
            self.answer(wanted.token, Answer::List(self.listing()));
            return;
        }
        if matches!(self.phase, Phase::Ending { .. }) {
            self.refuse(
                wanted.token,
                "cannot do that any more",
                "the session is ending",
                "start it again",
            );
            return;
        }
        if !self.is_running() {
            self.waiting.push_back(wanted);
            return;
        }
        match wanted.request {
            Request::List => {}
            Request::Take { .. } => self.want_take(wanted),
            Request::Revert { id, keep } => {
                let id = id.map(SnapshotId::new);
                if !self.begin_revert(id, keep, Ended::Reverted, wanted.asked_ns, wanted.token) {
                    self.refuse_unknown(wanted.token, "revert", id);
                }
            }
            Request::Commit => match self.commit() {
                Some(event) => self.answer(wanted.token, Answer::Done(event)),
                None => self.refuse_unknown(wanted.token, "commit", None),
            },
            Request::Drop { id } => {
                let id = SnapshotId::new(id);
                match self.drop_snapshot(id) {
                    Some(event) => self.answer(wanted.token, Answer::Done(event)),
                    None => self.refuse_unknown(wanted.token, "drop", Some(id)),
                }
            }
        }
    }

    fn refuse_unknown(&self, token: Option<u64>, verb: &str, id: Option<SnapshotId>) {
        let there: Vec<String> = self.ids().iter().map(|id| format!("#{id}")).collect();
        let cause = match (id, there.is_empty()) {
            (_, true) => "there is no snapshot".to_owned(),
            (Some(id), false) => format!("there is no {id}, only {}", there.join(", ")),
            (None, false) => "it is not there".to_owned(),
        };
        let what = match id {
            Some(id) => format!("cannot {verb} {id}"),
            None => format!("cannot {verb}"),
        };
        let help = if there.is_empty() {
            "take one first: `cargo snapshot take`"
        } else {
            "`cargo snapshot list` shows them"
        };
        self.refuse(token, &what, &cause, help);
    }

    /// Goes on with what has waited for the program to run again.
    fn serve_waiting(&mut self) {
        while self.is_running() && self.asked.is_none() {
            let Some(at) = self.waiting.iter().position(|wanted| {
                self.live.has_agent || !matches!(wanted.request, Request::Take { .. })
            }) else {
                return;
            };
            if let Some(wanted) = self.waiting.remove(at) {
                self.serve_request(wanted);
            }
        }
    }

    /// Forgets one snapshot.
    pub(crate) fn drop_snapshot(&mut self, id: SnapshotId) -> Option<Event> {
        let snapshot = self.timeline.remove(id)?;
        self.end_copy(snapshot.pid);
        let event = Event::Dropped { id: id.number() };
        self.event(event.clone());
        Some(event)
    }

    /// Takes an automatic snapshot when it is time.
    fn tick(&mut self, now: u64) {
        let Some(every) = self.config.every else {
            return;
        };
        if self.is_running() && self.next_tick_ns.is_some_and(|at| now >= at) {
            self.next_tick_ns = Some(now + nanoseconds(every));
            if self.live.has_agent && self.asked.is_none() {
                self.want_take(Wanted {
                    token: None,
                    request: Request::Take { label: None },
                    trigger: Trigger::Timer,
                    asked_ns: now,
                });
            }
        }
    }

    /// Keeps as many automatic snapshots as are wanted.
    pub(crate) fn drop_oldest_automatic(&mut self) {
        let automatic: Vec<SnapshotId> = self
            .timeline
            .iter()
            .filter(|(_, snapshot)| snapshot.trigger == Trigger::Timer)
            .map(|(id, _)| id)
            .collect();
        let surplus = automatic
            .len()
            .saturating_sub(usize::try_from(self.config.keep_last).unwrap_or(usize::MAX));
        for id in automatic.into_iter().take(surplus) {
            self.drop_snapshot(id);
        }
    }

    pub(crate) fn report_started(&mut self) {
        self.started = true;
        self.event(Event::Started {
            session: self.config.session.clone(),
            launcher_pid: self.config.launcher_pid,
            live_pid: self.live.pid,
            tier: Tier::IdsDiffer,
            files: Vec::new(),
        });
    }

    fn listing(&self) -> Listing {
        let now = now_ns();
        Listing {
            session: self.config.session.clone(),
            launcher_pid: self.config.launcher_pid,
            live_pid: self.live.pid,
            depth: self.depth(),
            snapshots: self
                .timeline
                .iter()
                .map(|(id, snapshot)| SnapshotInfo {
                    id: id.number(),
                    label: snapshot.label.clone(),
                    trigger: snapshot.trigger,
                    frozen_pid: snapshot.pid,
                    taken_us_ago: now.saturating_sub(snapshot.taken_ns) / 1000,
                    latency_us: snapshot.latency_us,
                    threads: 1,
                    rss_bytes: snapshot.rss_bytes,
                })
                .collect(),
        }
    }

    /// Whether no process of the session is left but this one.
    fn is_alone(&self) -> bool {
        super::family::children(nix::unistd::getpid().as_raw()).is_empty()
    }
}

/// What the launcher would have done in the end, had it lived to do it.
fn stand_in_for_launcher(config: &Config) {
    if let Some(outer) = &config.outer {
        let _ = tcsetattr(&outer.terminal, SetArg::TCSANOW, &outer.settings);
    }
    remove_socket(&config.socket);
}
