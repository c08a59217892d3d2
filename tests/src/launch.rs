//! What to launch: the tool with its flags and a program, or a program without the tool.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::events::Events;
use crate::faults::Faults;
use crate::leaks::MARK;
use crate::piped::PipedSession;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::terminal::TerminalSession;
use crate::user::{self, Isolation};
use crate::{binaries, deadline};

/// A session to be started, by [`Launch::piped`] or [`Launch::terminal`].
#[derive(Debug)]
#[must_use = "nothing runs until `piped` or `terminal`"]
pub struct Launch {
    place: Arc<Place>,
    front: Vec<OsString>,
    tool: bool,
    flags: Vec<OsString>,
    program: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    /// The ordinary user to run as, by what that user may do for isolation.
    user: Option<Isolation>,
    life_seconds: u32,
    faults: Option<Faults>,
}

impl Launch {
    fn new(front: Vec<OsString>, tool: bool) -> Self {
        Self {
            place: Place::new(),
            front,
            tool,
            flags: Vec::new(),
            program: Vec::new(),
            environment: Vec::new(),
            directory: None,
            user: None,
            life_seconds: deadline::SESSION_SECONDS,
            faults: None,
        }
    }

    /// `snapshot-launch -- PROGRAM`.
    pub fn program(program: impl AsRef<OsStr>) -> Self {
        let front = vec![binaries::tools().snapshot_launch.clone().into()];
        Self::new(front, true).arg(program)
    }

    /// `snapshot-launch` with a guest of this package.
    pub fn guest(name: &str) -> Self {
        Self::program(binaries::guest(name))
    }

    /// `snapshot-launch` with a guest of this package that is written in C.
    pub fn guest_in_c(name: &str) -> Self {
        let place = Place::new();
        let program = binaries::guest_in_c(name, &place.work());
        Self::program(program).place(&place)
    }

    /// The guest that answers commands.
    pub fn commander() -> Self {
        Self::guest("commander")
    }

    /// `cargo-snapshot snapshot VERB ARGUMENTS`, as cargo starts it. Arguments of
    /// [`Launch::arg`] follow behind `--`.
    pub fn cargo_snapshot(arguments: &[&str]) -> Self {
        let mut front: Vec<OsString> = vec![
            binaries::tools().cargo_snapshot.clone().into(),
            "snapshot".into(),
        ];
        front.extend(arguments.iter().map(OsString::from));
        Self::new(front, true)
    }

    /// A program without the tool. If it starts the tool, the tool finds the events file in its
    /// environment.
    pub fn bare(program: impl AsRef<OsStr>) -> Self {
        Self::new(vec![program.as_ref().to_owned()], false)
    }

    /// A guest of this package that is written in C, without the tool.
    pub fn bare_guest_in_c(name: &str) -> Self {
        let place = Place::new();
        let program = binaries::guest_in_c(name, &place.work());
        Self::bare(program).place(&place)
    }

    /// Whether it launches the tool.
    pub fn has_tool(&self) -> bool {
        self.tool
    }

    /// Adds a flag of the tool.
    pub fn flag(mut self, flag: impl AsRef<OsStr>) -> Self {
        self.flags.push(flag.as_ref().to_owned());
        self
    }

    /// Adds an argument of the program.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.program.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments of the program.
    pub fn args<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        for argument in arguments {
            self = self.arg(argument);
        }
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.into(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes a variable from the environment.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Runs in this directory instead of the place's work directory.
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Sets the session's life, if the usual deadline is too short.
    pub fn life_seconds(mut self, seconds: u32) -> Self {
        self.life_seconds = seconds;
        self
    }

    /// Runs as an ordinary user, who owns the place. The tool, and the program if its path is
    /// given, are copied into it.
    pub fn as_user(mut self, isolation: Isolation) -> Self {
        self.user = Some(isolation);
        self
    }

    /// Runs with these faults.
    pub fn faults(mut self, faults: &Faults) -> Self {
        self.faults = Some(faults.clone());
        self
    }

    /// Runs in the same place as another session, so that both are one user's.
    pub fn place(mut self, place: &Arc<Place>) -> Self {
        self.place = Arc::clone(place);
        self
    }

    /// Starts it with pipes for stdin, stdout and stderr, and no terminal anywhere.
    pub fn piped(self) -> PipedSession {
        PipedSession::start(self.prepare())
    }

    /// Starts it as the leader of a session on a new terminal of 24 lines of 100.
    pub fn terminal(self) -> TerminalSession {
        TerminalSession::start(self.prepare())
    }

    fn prepare(mut self) -> Prepared {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Relaxed: the numbers need only differ.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        let events = self.place.path(&format!("events-{number}.jsonl"));
        if self.user.is_some() {
            let program = PathBuf::from(self.program.first().expect("a program is launched"));
            let [front, program] = self
                .place
                .give_to_user([Path::new(&self.front[0]), &program]);
            self.front[0] = front.into();
            self.program[0] = program.into();
        }

        let mut command = Command::new(&self.front[0]);
        command.args(&self.front[1..]);
        if self.tool {
            command.arg("--events").arg(&events).args(&self.flags);
            if !self.program.is_empty() {
                command.arg("--");
            }
        }
        command.args(&self.program);
        self.place.furnish(&mut command);
        command.env(MARK, &mark);
        if !self.tool {
            command.env("CARGO_SNAPSHOT_EVENTS", &events);
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(isolation) = self.user {
            user::become_user(&mut command, isolation);
        }
        if let Some(faults) = &self.faults {
            faults.watch(&mut command);
        }
        Prepared {
            command,
            mark,
            events: Events::new(&events),
            tool: self.tool,
            place: self.place,
            life_seconds: self.life_seconds,
        }
    }
}
