//! The launcher's loop.
#![expect(unsafe_code, reason = "reads and sets window sizes")]

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, Termios, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use snapshot_core::sys::now_ns;

use super::job;
use super::outlets::{EventLog, Outlet, read_ready};
use super::socket::{Client, ControlSocket, Said};
use crate::channel::{Channel, Received, ToLauncher, ToSupervisor};
use crate::control::{Answer, Request};
use crate::event::{Event, Trigger};
use crate::launch::{Ending, is_fatal_request};
use crate::problem::{Problem, exit};
use crate::report::{Reporter, key_help};
use crate::supervisor::{signal_below, size_of};
use crate::terminal::keys::{Command, Input, Key, Keys};
use crate::terminal::modes::{Modes, Set};
use crate::terminal::raw::Raw;
use crate::timeline_view;

nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, libc::winsize);

/// The kernel's word for "from a terminal, or something else of mine".
const SI_KERNEL: i32 = 0x80;

/// How much of the program's output may wait for the terminal before the program does.
const ENOUGH: usize = 64 * 1024;

/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The inner side of a terminal that the launcher owns.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) master: OwnedFd,
    /// The outer terminal's settings, where there is one.
    pub(crate) outer_settings: Option<Termios>,
}

/// What a session is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) supervisor: Pid,
    pub(crate) channel: Channel,
    pub(crate) socket: ControlSocket,
    pub(crate) events: Option<File>,
    pub(crate) inner: Option<Inner>,
    pub(crate) key: Key,
}

/// The terminal, while the launcher owns it.
struct Pty {
    master: File,
    /// What was typed and is on its way to the program.
    to_program: Outlet,
    to_screen: Outlet,
    raw: Option<Raw>,
    keys: Keys,
    /// Typed, but not passed on while a Ctrl+C is being decided.
    typed: VecDeque<u8>,
    /// How many of them are.
    deciding: u32,
    input_ended: bool,
    output_ended: bool,
    modes: Modes,
    modes_at: HashMap<u32, Set>,
}

/// Who waits for an answer.
enum Waiter {
    Client,
    /// A key was pressed: only a refusal, or a list, is worth a word.
    Key,
}

/// The launcher, running.
pub(crate) struct Session {
    name: String,
    supervisor: Pid,
    channel: Channel,
    socket: ControlSocket,
    log: EventLog,
    reporter: Reporter,
    pty: Option<Pty>,
    stderr: Outlet,
    /// The reports go to the program's own screen.
    reports_on_screen: bool,
    colour: bool,
    signals: SignalFd,
    clients: Vec<Client>,
    waiters: HashMap<u64, Waiter>,
    next_token: u64,
    key: Key,
    fatal: Option<i32>,
    ending: Option<Result<Ending, Problem>>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Channel,
    Socket,
    Client(usize),
    Keyboard,
    Program,
    ToProgram,
    ToScreen,
    Stderr,
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
            log: EventLog::new(parts.events),
            reporter: Reporter::new(pty.as_ref().map(|_| parts.key.to_string())),
            pty,
            stderr: Outlet::to_shared(io::stderr().as_fd())?,
            reports_on_screen,
            colour: stderr_is_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            signals,
            clients: Vec::new(),
            waiters: HashMap::new(),
            next_token: 1,
            key: parts.key,
            fatal: None,
            ending: None,
        })
    }

    /// Runs until the session is over.
    pub(crate) fn run(mut self) -> io::Result<Result<Ending, Problem>> {
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut())
            && Raw::in_front()
        {
            raw.enter();
        }
        self.say(&ToSupervisor::Begin);
        loop {
            if let Some(ending) = self.ending.take() {
                self.last_words();
                return Ok(ending);
            }
            for source in self.ready() {
                self.hear(source);
            }
        }
    }

    fn ready(&self) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![
            (Source::Signals, self.signals.as_fd(), PollFlags::POLLIN),
            (Source::Channel, self.channel.as_fd(), PollFlags::POLLIN),
            (Source::Socket, self.socket.as_fd(), PollFlags::POLLIN),
        ];
        for (index, client) in self.clients.iter().enumerate() {
            sources.push((Source::Client(index), client.as_fd(), PollFlags::POLLIN));
        }
        let stdin = io::stdin();
        if let Some(pty) = &self.pty {
            if pty.listens_to_keyboard() {
                // SAFETY: descriptor 0 stays open as long as this process does.
                let stdin = unsafe { BorrowedFd::borrow_raw(stdin.as_raw_fd()) };
                sources.push((Source::Keyboard, stdin, PollFlags::POLLIN));
            }
            if !pty.output_ended && pty.to_screen.len() < ENOUGH {
                sources.push((Source::Program, pty.master.as_fd(), PollFlags::POLLIN));
            }
            if pty.to_program.is_waiting() {
                sources.push((
                    Source::ToProgram,
                    pty.to_program.as_fd(),
                    PollFlags::POLLOUT,
                ));
            }
            if pty.to_screen.is_waiting() {
                sources.push((Source::ToScreen, pty.to_screen.as_fd(), PollFlags::POLLOUT));
            }
        }
        if self.stderr.is_waiting() {
            sources.push((Source::Stderr, self.stderr.as_fd(), PollFlags::POLLOUT));
        }
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            return Vec::new();
        }
        let mut ready: Vec<Source> = sources
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(false))
            .map(|((source, ..), _)| *source)
            .collect();
        // Clients are removed as they are served: from the last one on. And what the
        // program has printed comes before what is said about it.
        ready.reverse();
        ready.sort_by_key(|source| match source {
            Source::Program => 0,
            Source::ToScreen | Source::Stderr | Source::ToProgram => 1,
            _ => 2,
        });
        ready
    }

    fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Channel => self.hear_supervisor(),
            Source::Socket => {
                while let Some(client) = self.socket.accept() {
                    self.clients.push(client);
                }
            }
            Source::Client(index) => self.hear_client(index),
            Source::Keyboard => {
                let chunk = read_stdin();
                if let Some(pty) = &mut self.pty {
                    match chunk {
                        Some(bytes) => pty.typed.extend(bytes),
                        None => pty.end_input(),
                    }
                }
                self.serve_typed();
            }
            Source::Program => {
                if let Some(pty) = &mut self.pty {
                    pty.pass_output();
                }
            }
            Source::ToProgram => {
                if let Some(pty) = &mut self.pty {
                    pty.to_program.write();
                }
            }
            Source::ToScreen => {
                if let Some(pty) = &mut self.pty {
                    pty.to_screen.write();
                }
            }
            Source::Stderr => self.stderr.write(),
        }
    }

    // -- signals --------------------------------------------------------------------

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            let sender = i32::try_from(info.ssi_pid).unwrap_or(0);
            let from_kernel = info.ssi_code == SI_KERNEL;
            match signal {
                libc::SIGCHLD => self.supervisor_may_have_ended(),
                libc::SIGWINCH => self.follow_size(),
                libc::SIGCONT => self.resume(),
                libc::SIGTSTP => {
                    if self.pty.is_some() || !from_kernel {
                        self.say(&ToSupervisor::Stop);
                    }
                    if self.pty.is_none() {
                        let _ = raise(Signal::SIGSTOP);
                    }
                }
                // Ctrl+\ in a terminal that is shared with the program is the program's.
                libc::SIGQUIT if from_kernel => {}
                _ if is_fatal_request(signal) => {
                    self.fatal.get_or_insert(signal);
                    self.say(&ToSupervisor::End { signal });
                }
                libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU => {}
                // The kernel's to a whole group: the supervisor has its own.
                _ if from_kernel => {}
                _ => self.say(&ToSupervisor::Signalled { signal, sender }),
            }
        }
    }

    fn follow_size(&mut self) {
        if let Some(pty) = &self.pty
            && pty.raw.is_some()
            && let Some(size) = size_of(&io::stdin())
        {
            // SAFETY: the request reads one winsize, a live local.
            let _ = unsafe { set_size(pty.master.as_raw_fd(), &raw const size) };
        }
    }

    /// The program was stopped in its terminal: so is the whole session.
    fn suspend(&mut self) {
        let Some(pty) = &mut self.pty else { return };
        let Some(raw) = &mut pty.raw else { return };
        if !job::somebody_can_resume() {
            // As the kernel has it: a stop that nobody could end does not happen.
            self.say(&ToSupervisor::Continue);
            return;
        }
        pty.to_screen.write();
        raw.leave();
        // Whoever is in the same job is stopped too, as a terminal does it.
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
        let _ = raise(Signal::SIGSTOP);
    }

    fn resume(&mut self) {
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut())
            && Raw::in_front()
        {
            raw.enter();
        }
        self.follow_size();
        self.say(&ToSupervisor::Continue);
    }

    // -- the supervisor -------------------------------------------------------------

    fn say(&self, message: &ToSupervisor) {
        // If it is gone, its end of the channel and SIGCHLD say so.
        let _ = self.channel.send(message);
    }

    fn hear_supervisor(&mut self) {
        loop {
            match self.channel.receive() {
                Ok(Received::Message(message)) => self.serve_supervisor(message),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.supervisor_is_gone();
                    return;
                }
            }
            if self.ending.is_some() {
                return;
            }
        }
    }

    fn serve_supervisor(&mut self, message: ToLauncher) {
        match message {
            ToLauncher::Event(event) => self.happened(&event),
            ToLauncher::Note(text) => self.report(&text),
            ToLauncher::Answer { token, answer } => self.answered(token, &answer),
            ToLauncher::Typed { is_own } => {
                if let Some(pty) = &mut self.pty {
                    pty.deciding = pty.deciding.saturating_sub(1);
                    if is_own {
                        let interrupt = pty.special(SpecialCharacterIndices::VINTR).unwrap_or(3);
                        pty.to_program.push(&[interrupt]);
                    }
                }
                self.serve_typed();
            }
            ToLauncher::Stopped => self.suspend(),
            ToLauncher::NotStarted { errno } => {
                let _ = waitpid(self.supervisor, None);
                self.ending = Some(Err(Problem::new(
                    exit::SETUP,
                    format!("cannot launch `{}`", self.name),
                )
                .cause(io::Error::from_raw_os_error(errno))
                .help("check that it can be started from the shell")));
            }
            ToLauncher::Finished { code, signal } => {
                let _ = waitpid(self.supervisor, None);
                let ending = match (self.fatal, code, signal) {
                    (Some(signal), ..) | (None, _, Some(signal)) => Ending::Signal(signal),
                    (None, code, None) => Ending::Code(code.unwrap_or(0)),
                };
                self.ending = Some(Ok(ending));
            }
        }
    }

    fn supervisor_may_have_ended(&mut self) {
        loop {
            match waitpid(
                Pid::from_raw(-1),
                Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
            ) {
                Ok(WaitStatus::StillAlive) => return,
                Ok(status) => {
                    if status.pid() == Some(self.supervisor) {
                        // Its last words are still in the channel.
                        self.hear_supervisor();
                        if self.ending.is_none() {
                            self.supervisor_is_gone();
                        }
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// It did not say goodbye: what it leaves behind has come to us, and is ended.
    fn supervisor_is_gone(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let _ = kill(self.supervisor, Signal::SIGKILL);
        let own = getpid().as_raw();
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            signal_below(own, Signal::SIGKILL, &|_| false);
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL)) {
                Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => {}
                Err(_) => break,
            }
        }
        self.report("the session broke: its supervisor was killed");
        self.ending = Some(match self.fatal {
            Some(signal) => Ok(Ending::Signal(signal)),
            None => Err(Problem::new(exit::BROKEN, "the session broke")
                .cause("its supervisor was killed, and the program and its snapshots with it")
                .help("launch the program again")),
        });
    }

    fn happened(&mut self, event: &Event) {
        if let Some(pty) = &mut self.pty {
            pty.drain();
            pty.follow(event);
        }
        if let Err(error) = self.log.write(event) {
            self.report(&format!(
                "events are no longer written: {error}; the session goes on"
            ));
        }
        if let Some(lines) = self.reporter.line(event) {
            for line in lines.lines() {
                self.report(line);
            }
        }
    }

    // -- requests -------------------------------------------------------------------

    fn ask(&mut self, request: Request, trigger: Trigger, waiter: Waiter) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.waiters.insert(token, waiter);
        self.say(&ToSupervisor::Ask {
            token,
            request,
            trigger,
            asked_ns: now_ns(),
        });
        token
    }

    fn hear_client(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        match client.read() {
            Said::Nothing => {}
            Said::Gone => {
                self.clients.remove(index);
            }
            Said::Request(request) => {
                if client.token.is_some() {
                    self.clients.remove(index);
                    return;
                }
                let token = self.ask(request, Trigger::Command, Waiter::Client);
                if let Some(client) = self.clients.get_mut(index) {
                    client.token = Some(token);
                }
            }
        }
    }

    fn answered(&mut self, token: u64, answer: &Answer) {
        match self.waiters.remove(&token) {
            Some(Waiter::Client) => {
                if let Some(at) = self
                    .clients
                    .iter()
                    .position(|client| client.token == Some(token))
                {
                    self.clients.remove(at).answer(answer);
                }
            }
            Some(Waiter::Key) => match answer {
                Answer::List(listing) => {
                    for line in timeline_view::render(listing, usize::MAX).lines() {
                        self.report(line);
                    }
                }
                Answer::Refused { what, cause, help } => {
                    self.report(&format!("{what}: {cause}; {help}"));
                }
                Answer::Done(_) => {}
            },
            None => {}
        }
    }

    // -- the keyboard ---------------------------------------------------------------

    /// Looks at what was typed. While a Ctrl+C is being decided only another one is seen,
    /// since a burst of them is one press; what was typed before that one is dropped, as
    /// a terminal drops it.
    fn serve_typed(&mut self) {
        loop {
            let Some(pty) = &mut self.pty else { return };
            if pty.deciding > 0 {
                let interrupts = |byte: &u8| pty.interrupts(*byte);
                let Some(last) = pty.typed.iter().rposition(interrupts) else {
                    return;
                };
                let presses = pty.typed.iter().filter(|&byte| interrupts(byte)).count();
                pty.typed.drain(..=last);
                for _ in 0..presses {
                    pty.deciding += 1;
                    let _ = self.channel.send(&ToSupervisor::Typed { at_ns: now_ns() });
                }
                return;
            }
            let Some(byte) = pty.typed.pop_front() else {
                return;
            };
            match pty.keys.next(byte) {
                None => {}
                Some(Input::Byte(byte)) => {
                    if pty.interrupts(byte) {
                        pty.deciding += 1;
                        self.say(&ToSupervisor::Typed { at_ns: now_ns() });
                    } else {
                        pty.to_program.push(&[byte]);
                    }
                }
                Some(Input::Command(command)) => self.command(command),
            }
        }
    }

    fn command(&mut self, command: Command) {
        let request = match command {
            Command::Take => Request::Take { label: None },
            Command::Revert => Request::Revert {
                id: None,
                keep: false,
            },
            Command::RevertKeep => Request::Revert {
                id: None,
                keep: true,
            },
            Command::Commit => Request::Commit,
            Command::List => Request::List,
            Command::Help => {
                for line in key_help(&self.key.to_string()) {
                    self.report(&line);
                }
                return;
            }
            Command::Quit => {
                self.fatal.get_or_insert(libc::SIGTERM);
                self.say(&ToSupervisor::End {
                    signal: libc::SIGTERM,
                });
                return;
            }
            Command::Unknown(_) => {
                let key = self.key;
                self.report(&format!("no such key; {key} ? lists them"));
                return;
            }
        };
        self.ask(request, Trigger::Key, Waiter::Key);
    }

    // -- words ----------------------------------------------------------------------

    /// Says something to the person.
    fn report(&mut self, text: &str) {
        let (start, end) = if self.colour {
            ("\x1b[36m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = format!("{start}[snapshot]{end} {text}");
        match &mut self.pty {
            Some(pty) if self.reports_on_screen => {
                if !pty.to_screen.ends_line() {
                    pty.to_screen.push(b"\r\n");
                }
                pty.to_screen.push(line.as_bytes());
                pty.to_screen.push(b"\r\n");
                pty.to_screen.write();
            }
            _ => {
                self.stderr.push(line.as_bytes());
                self.stderr.push(b"\n");
            }
        }
    }

    /// Everything that still waits is written, as far as anybody reads it, and the
    /// terminal is as it was.
    fn last_words(&mut self) {
        if let Some(pty) = &mut self.pty {
            pty.drain();
            let bytes = pty.modes.go_to(&Set::default());
            pty.to_screen.push(&bytes);
        }
        let until = Instant::now() + LAST_WORDS;
        loop {
            let outlets = [
                Some(&mut self.stderr),
                self.pty.as_mut().map(|pty| &mut pty.to_screen),
            ];
            let mut waiting = outlets
                .into_iter()
                .flatten()
                .filter(|outlet| outlet.is_waiting());
            let Some(outlet) = waiting.next() else { break };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut fds = [PollFd::new(outlet.as_fd(), PollFlags::POLLOUT)];
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, left) {
                Ok(0) => outlet.give_up(),
                Ok(_) => outlet.write(),
                Err(_) => {}
            }
        }
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut()) {
            raw.leave();
        }
    }
}

/// What was typed; `None` at the end of the input.
fn read_stdin() -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    match nix::unistd::read(io::stdin().as_fd(), &mut bytes) {
        Ok(0) => None,
        Ok(length) => {
            bytes.truncate(length);
            Some(bytes)
        }
        Err(Errno::EINTR | Errno::EAGAIN) => Some(Vec::new()),
        Err(_) => None,
    }
}

impl Pty {
    fn new(inner: Inner, key: Key) -> io::Result<Self> {
        let master = File::from(inner.master);
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let to_screen = if inner.outer_settings.is_some() {
            Outlet::to_terminal(io::stdout().as_fd())?
        } else {
            Outlet::to_shared(io::stdout().as_fd())?
        };
        Ok(Self {
            to_program: Outlet::to_own(master.try_clone()?.into()),
            to_screen,
            raw: inner.outer_settings.map(Raw::new),
            master,
            keys: Keys::new(key),
            typed: VecDeque::new(),
            deciding: 0,
            input_ended: false,
            output_ended: false,
            modes: Modes::default(),
            modes_at: HashMap::new(),
        })
    }

    fn listens_to_keyboard(&self) -> bool {
        let in_front = self.raw.as_ref().is_none_or(Raw::is_on);
        in_front && !self.input_ended && self.to_program.len() + self.typed.len() < ENOUGH
    }

    fn special(&self, index: SpecialCharacterIndices) -> Option<u8> {
        let settings = tcgetattr(&self.master).ok()?;
        settings.control_chars.get(index as usize).copied()
    }

    /// Whether the program's terminal would make a SIGINT of this byte.
    fn interrupts(&self, byte: u8) -> bool {
        // Only a control character can; asking the kernel for every letter would cost.
        if byte >= 0x20 && byte != 0x7f {
            return false;
        }
        tcgetattr(&self.master).is_ok_and(|settings| {
            settings.local_flags.contains(LocalFlags::ISIG)
                && settings
                    .control_chars
                    .get(SpecialCharacterIndices::VINTR as usize)
                    == Some(&byte)
        })
    }

    /// The input is at its end: the program's terminal is told as a person would.
    fn end_input(&mut self) {
        self.input_ended = true;
        if let Some(end) = self.special(SpecialCharacterIndices::VEOF) {
            self.to_program.push(&[end]);
        }
    }

    /// Passes on what the program has printed.
    fn pass_output(&mut self) -> bool {
        match read_ready(&self.master) {
            Some(bytes) => {
                self.modes.watch(&bytes);
                self.to_screen.push(&bytes);
                self.to_screen.write();
                !bytes.is_empty()
            }
            None => {
                self.output_ended = true;
                false
            }
        }
    }

    /// All that has been printed until now: it comes before what is said about it.
    fn drain(&mut self) {
        let mut rounds = 0;
        while !self.output_ended && rounds < 64 && self.pass_output() {
            rounds += 1;
        }
    }

    /// Keeps the screen's modes with each snapshot, and brings them back.
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Taken(taken) => {
                self.modes_at.insert(taken.id, self.modes.now().clone());
            }
            Event::Reverted(reverted) => {
                if let Some(set) = self.modes_at.get(&reverted.id) {
                    let bytes = self.modes.go_to(&set.clone());
                    self.to_screen.push(&bytes);
                }
                if !reverted.kept {
                    self.modes_at.remove(&reverted.id);
                }
            }
            Event::Dropped { id } => {
                self.modes_at.remove(id);
            }
            Event::Committed { .. } => self.modes_at.clear(),
            Event::Started { .. }
            | Event::Refused(_)
            | Event::Ended(_)
            | Event::Finished { .. } => {}
        }
    }
}
