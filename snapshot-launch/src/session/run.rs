//! The launcher's loop.
#![expect(unsafe_code, reason = "borrows descriptor 0")]

use crate::session::{
    pty::ENOUGH,
    state::{Session, Waiter},
};
use std::collections::HashSet;
use std::io::{self};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use nix::sys::termios::SpecialCharacterIndices;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use snapshot_core::process::lineage::{self, Lineage};
use snapshot_core::sys::now_ns;

use super::{messages::LAST_MESSAGES, pty::read_stdin};
use crate::ending::Ending;
use crate::poll_timeout;
use crate::processes::{
    child::Child,
    family::{name_out_of_reach, signal_below},
};
use crate::talk::{
    channel::{Received, ToLauncher, ToSupervisor},
    control::Answer,
    event::{Event, Trigger},
    problem::{Problem, exit},
    signals::{SI_KERNEL, is_fatal_request},
    timeline_view,
};
use crate::terminal::raw::Raw;

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
    Log,
}

impl Session {
    /// Runs until the session is over.
    pub(crate) fn run(mut self) -> io::Result<Result<Ending, Problem>> {
        if let Some(raw) = self.pty.as_mut().and_then(|pty| pty.raw.as_mut())
            && Raw::in_front()
        {
            raw.enter();
        }
        self.say(&ToSupervisor::Begin {
            door: self.socket.as_ref().map(|socket| socket.place().clone()),
        });
        if let Some(why) = self.no_socket.take() {
            self.report(&format!(
                "no second terminal reaches this session, since no directory serves for its socket ({why}); set XDG_RUNTIME_DIR to one that only you can enter"
            ));
        }
        loop {
            if let Some(ending) = self.ending.take() {
                self.last_messages();
                if let Some(front) = &self.front {
                    front.come_back(&ending);
                }
                return Ok(ending);
            }
            for source in self.ready() {
                self.hear(source);
            }
            self.serve_clients();
        }
    }

    fn ready(&self) -> Vec<Source> {
        let mut sources: Vec<(Source, BorrowedFd<'_>, PollFlags)> = vec![
            (Source::Signals, self.signals.as_fd(), PollFlags::POLLIN),
            (Source::Channel, self.channel.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(door) = self.socket.as_ref().filter(|_| self.clients.has_room()) {
            sources.push((Source::Socket, door.as_fd(), PollFlags::POLLIN));
        }
        for (index, client, flags) in self.clients.sources() {
            sources.push((Source::Client(index), client, flags));
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
        if let Some(events) = self.log.awaits_room() {
            sources.push((Source::Log, events, PollFlags::POLLOUT));
        }
        let mut fds: Vec<PollFd<'_>> = sources
            .iter()
            .map(|(_, fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        let next = [self.log.next_try(), self.clients.next_look()];
        if poll(
            &mut fds,
            poll_timeout::lasting(next.into_iter().flatten().min()),
        )
        .is_err()
        {
            return Vec::new();
        }
        let mut ready: Vec<Source> = sources
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(false))
            .map(|((source, ..), _)| *source)
            .collect();
        if self.log.next_try().is_some_and(|left| left.is_zero()) {
            ready.push(Source::Log);
        }
        // Serves from the last client on, since clients are removed as they are served. And the
        // program's output comes before a message about it.
        ready.reverse();
        ready.sort_by_key(|source| match source {
            Source::Program => 0,
            Source::ToScreen | Source::Stderr | Source::ToProgram => 1,
            // Signals come before clients.
            Source::Client(_) | Source::Socket => 3,
            _ => 2,
        });
        ready
    }

    fn hear(&mut self, source: Source) {
        match source {
            Source::Signals => self.hear_signals(),
            Source::Channel => self.hear_supervisor(),
            Source::Socket => {
                if let Some(door) = &self.socket {
                    self.clients.accept(door);
                }
            }
            Source::Client(index) => self.clients.hear(index),
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
            Source::Log => self.write_events(),
        }
    }

    // -- signals --------------------------------------------------------------------

    fn hear_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let at_ns = now_ns();
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            let sender = i32::try_from(info.ssi_pid).unwrap_or(0);
            let from_kernel = info.ssi_code == SI_KERNEL;
            match signal {
                libc::SIGCHLD => self.supervisor_may_have_ended(),
                libc::SIGWINCH => self.follow_size(),
                libc::SIGCONT => self.resume(),
                // Our own, to all of our job: see `come_back`.
                _ if sender == getpid().as_raw() => {}
                // The program's, to its whole group, which is also the launcher's: not our
                // business.
                _ if self.is_of_the_programs(sender) => {}
                libc::SIGTSTP => self.stop(from_kernel),
                // It was typed before the program's group was in front.
                libc::SIGINT | libc::SIGQUIT if from_kernel && self.puts_in_front() => {
                    self.put_in_front();
                    self.say(&ToSupervisor::Signalled {
                        signal,
                        sender: getpid().as_raw(),
                        inside: false,
                        at_ns,
                    });
                }
                // Ctrl+\ in a terminal that is shared with the program is the program's.
                libc::SIGQUIT if from_kernel => {}
                _ if is_fatal_request(signal) && !self.was_ignored(signal) => self.end_by(signal),
                libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU => {}
                // The kernel's to a whole group: the supervisor has got it as well.
                _ if from_kernel => {}
                _ => {
                    // All processes of the session are below this one.
                    let own = std::process::id().cast_signed();
                    let inside = lineage::of(sender, &[own]) == Lineage::Below;
                    self.say(&ToSupervisor::Signalled {
                        signal,
                        sender,
                        inside,
                        at_ns,
                    });
                }
            }
        }
    }

    // -- the supervisor -------------------------------------------------------------

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
            ToLauncher::AskedToEnd { signal } if self.was_ignored(signal) => {
                self.say(&ToSupervisor::Signalled {
                    signal,
                    sender: getpid().as_raw(),
                    inside: false,
                    at_ns: now_ns(),
                });
            }
            ToLauncher::AskedToEnd { signal } => self.end_by(signal),
            // The kernel sends SIGTTOU for this to a group that is not in front; it is blocked.
            ToLauncher::ComeToFront => {
                if let Some(front) = &self.front {
                    front.come_to_front();
                }
            }
            ToLauncher::Group { outer } => {
                if let Some(front) = &mut self.front {
                    front.group = Some(Pid::from_raw(outer));
                }
                self.put_in_front();
            }
            ToLauncher::Stopped { signal } => self.stopped(signal),
            ToLauncher::NotStarted(unstarted) => {
                let _ = waitpid(self.supervisor, None);
                self.ending = Some(Err(unstarted.problem(&self.name)));
            }
            ToLauncher::Finished { code, signal } => {
                let _ = waitpid(self.supervisor, None);
                let ending = match (self.fatal, code, signal) {
                    (Some(signal), ..) | (None, _, Some(signal)) => Ending::Signal(signal),
                    (None, Some(code), None) => Ending::Code(code),
                    (None, None, None) => Ending::Code(i32::from(exit::BROKEN)),
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
                        // Its last messages are still in the channel.
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

    /// The supervisor has died without a message: its children are ours now, and we end them.
    fn supervisor_is_gone(&mut self) {
        if self.ending.is_some() {
            return;
        }
        // It may have been reaped, and its number may be in use again.
        if let Ok(supervisor) = Child::of(self.supervisor.as_raw()) {
            supervisor.signal(libc::SIGKILL);
        }
        let own = getpid().as_raw();
        let until = Instant::now() + LAST_MESSAGES;
        while Instant::now() < until {
            let left = signal_below(own, Signal::SIGKILL, &HashSet::new(), &|_| false);
            match waitpid(
                Pid::from_raw(-1),
                Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
            ) {
                // Only processes that can't be ended are left.
                Ok(WaitStatus::StillAlive) if left.got.is_empty() => {
                    if let Some(text) = name_out_of_reach(&left.out_of_reach) {
                        self.report(&text);
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
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
        if let Some(text) = self.log.write(event) {
            self.report(&text);
        }
        if let Some(line) = self.reporter.line(event) {
            self.report(&line);
        }
        if let Event::Started { files, .. } = event {
            let promise = self.reporter.promise(files);
            self.report(&promise);
        }
    }

    fn write_events(&mut self) {
        if let Some(text) = self.log.go_on() {
            self.report(&text);
        }
    }

    // -- requests -------------------------------------------------------------------

    /// Passes the second terminals' requests on, in their turn.
    fn serve_clients(&mut self) {
        while let Some((request, asked_ns)) = self.clients.next_request(self.next_token) {
            self.ask(request, Trigger::Command, Waiter::Client, asked_ns);
        }
        self.clients.tidy();
    }

    fn answered(&mut self, token: u64, answer: &Answer) {
        match self.waiters.remove(&token) {
            Some(Waiter::Client) => self.clients.answered(token, answer),
            Some(Waiter::Key) => match answer {
                Answer::List(listing) => {
                    for line in timeline_view::render(listing, usize::MAX).lines() {
                        self.report(line);
                    }
                }
                Answer::Refused { what, cause, help } => {
                    self.report(&format!("{what}: {cause}; {help}"));
                }
                Answer::Done(_) | Answer::Differs(_) => {}
            },
            None => {}
        }
    }
}
