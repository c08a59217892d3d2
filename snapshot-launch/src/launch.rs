//! Launching. Whatever can be refused is refused here, before the program runs.
#![expect(unsafe_code, reason = "forks the supervisor; dies of a signal")]

use crate::ending::Ending;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::pty::openpty;
use nix::sys::prctl;
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::{ForkResult, fork, getpgrp, getpid, isatty, tcgetpgrp};

use crate::embed::agent_file;
use crate::flags::{SnapshotFlags, When};
use crate::inherited::{self, OwnWays};
use crate::journal::scope::Trees;
use crate::namespaces::{self, Side};
use crate::processes::outside::Outside;
use crate::session::{self, ControlSocket, EventsFile, Inner, Session};
use crate::supervisor::{
    self,
    config::{Config, Group, OuterTerminal, Program, Streams},
};
use crate::talk::{
    channel::Channel,
    problem::{Problem, exit},
};
use crate::terminal::size::size_of;
use crate::{huge_pages, program, shortage};

/// A program to launch.
#[derive(Debug)]
pub struct Launch {
    /// A path, or a name to look for in PATH.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Additions to its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; `None` for the present one.
    pub directory: Option<PathBuf>,
    /// How the session is to behave.
    pub flags: SnapshotFlags,
}

fn cannot_begin(what: &str) -> impl Fn(io::Error) -> Problem + '_ {
    move |error| {
        let help = shortage::help_for(&error).unwrap_or("see `cause`; nothing was launched");
        Problem::new(exit::SETUP, "cannot set the session up")
            .cause(format!("{what}: {error}"))
            .help(help)
    }
}

/// Runs a program in a session, until the session ends.
///
/// The calling process must have a single thread, since the supervisor is forked from it. The
/// program gets standard input, output and error; if the launcher owns the terminal, it passes
/// them through unchanged. The program also gets descriptors without close-on-exec: this closes
/// them, and input and output if they are the program's own. After a session all signals are
/// blocked: the process should end.
///
/// # Errors
/// What could not be set up, with its exit code; then the program never ran. [`exit::BROKEN`]
/// if the session broke.
pub fn launch(launch: Launch) -> Result<Ending, Problem> {
    check_single_thread()?;
    let ways = OwnWays::take();
    let ending = set_up_and_run(launch, ways);
    // After a session signals stay blocked: a late one was meant for the session, and would end
    // this process before its last messages.
    if ending
        .as_ref()
        .is_err_and(|problem| problem.code != exit::BROKEN)
    {
        ways.put_back();
    }
    ending
}

fn set_up_and_run(launch: Launch, ways: OwnWays) -> Result<Ending, Problem> {
    let Launch {
        program: called,
        args,
        env,
        directory,
        flags,
    } = launch;
    let program::Found { path, image } = program::find(&called)?;
    let huge_pages = huge_pages::settings(flags.huge_pages, &image, &env);
    drop(image);
    let name = flags
        .name
        .clone()
        .unwrap_or_else(|| file_name(&called).to_string_lossy().into_owned());
    let trees = trees(&flags)?;
    let events = open_events(flags.events.as_deref())?;
    let agent = agent_file().map_err(cannot_begin("the agent can't be put into memory"))?;
    let inherited = inherited::descriptors().map_err(cannot_begin("/proc can't be read"))?;
    let (inner, streams, outer) = terminal(flags.pty)?;
    let front = inherited::terminal().filter(|_| inner.is_none());
    let group = match &front {
        _ if inner.is_some() => Group::InTerminal,
        None => Group::InSession,
        Some(_) if inherited::is_in_pipeline() => Group::Launchers,
        Some(terminal) => Group::InFront {
            at_once: tcgetpgrp(terminal).is_ok_and(|front| front == getpgrp()),
        },
    };
    let (ours, theirs) =
        Channel::pair().map_err(cannot_begin("the supervisor can't be spoken to"))?;
    let config = Config {
        session: name.clone(),
        launcher_pid: getpid().as_raw(),
        program: Program {
            path,
            called,
            args,
            env,
            huge_pages,
            directory,
            ways,
            ignored: inherited::ignored(),
        },
        agent,
        streams,
        outer,
        door: None,
        trigger: flags.signal.number(),
        on_exit: flags.on_exit,
        on_interrupt: flags.on_interrupt,
        every: flags.every,
        keep_last: flags.keep_last,
        at_start: flags.at_start,
        trees,
        moments: flags.moments,
        reseed: flags.reseed,
        allow: flags.allow.clone(),
        deny: flags.deny.clone(),
        group,
        inherited: inherited.clone(),
    };
    // If the supervisor is killed, its children become ours, and we end them.
    let _ = prctl::set_child_subreaper(true);
    let (side, missing) = fork_supervisor(flags.isolate)?;
    match side {
        Side::Supervisor(outside) => {
            // The launcher alone holds these ends, so that their close is seen.
            drop((ours, inner, events, front));
            supervisor::run(config, outside, theirs)
        }
        Side::Launcher(child) => {
            drop((config, theirs));
            // The program has its own copies.
            inherited::close(&inherited);
            if inner.is_none() {
                inherited::let_go_of_streams().map_err(cannot_begin("/dev/null is not there"))?;
            }
            let (socket, no_socket) = match ControlSocket::open() {
                Ok(socket) => (Some(socket), None),
                Err(error) => (None, Some(error)),
            };
            let session = Session::new(session::Parts {
                name,
                supervisor: child,
                channel: ours,
                socket,
                no_socket,
                events,
                inner,
                front,
                group,
                key: flags.key,
                trigger: flags.signal,
                ignored: inherited::ignored(),
                missing,
            });
            session
                .and_then(Session::run)
                .map_err(cannot_begin("the launcher can't go on"))?
        }
    }
}

fn file_name(called: &OsStr) -> &OsStr {
    Path::new(called).file_name().unwrap_or(called)
}

fn check_single_thread() -> Result<(), Problem> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|error| {
            Problem::new(exit::SETUP, "cannot set the session up")
                .cause(format!("/proc can't be read: {error}"))
                .help("mount it: `mount -t proc proc /proc`")
        })?
        .count();
    if threads == 1 {
        return Ok(());
    }
    Err(Problem::new(exit::SETUP, "cannot set the session up")
        .cause(format!("the launching process has {threads} threads"))
        .help("call `launch` before starting any thread"))
}

/// Forks the supervisor, in its own namespaces if they are wanted and allowed. If it has none,
/// the reason is returned too.
fn fork_supervisor(isolate: When) -> Result<(Side, Option<String>), Problem> {
    let refusal = match isolate {
        When::Never => None,
        When::Auto | When::Always => match namespaces::fork_into() {
            Ok(side) => return Ok((side, None)),
            Err(failure) => Some(failure.explain()),
        },
    };
    if isolate == When::Always
        && let Some(refusal) = &refusal
    {
        return Err(
            Problem::new(exit::SETUP, "cannot isolate the session (--isolate always)")
                .cause(&refusal.why)
                .help(refusal.help.as_str()),
        );
    }
    let missing = refusal.map_or("--isolate never".to_owned(), |refusal| refusal.why);
    // SAFETY: this process has a single thread, so the child is unrestricted.
    match unsafe { fork() }.map_err(io::Error::from) {
        Ok(ForkResult::Child) => Ok((Side::Supervisor(Outside::default()), Some(missing))),
        Ok(ForkResult::Parent { child }) => Ok((Side::Launcher(child), Some(missing))),
        Err(error) => Err(cannot_begin("the supervisor can't be forked")(error)),
    }
}

/// Which files come back; `None` for none.
fn trees(flags: &SnapshotFlags) -> Result<Option<Trees>, Problem> {
    if flags.no_files {
        return Ok(None);
    }
    if flags.files.is_empty() {
        return Ok(Some(Trees::All));
    }
    let mut trees = Vec::new();
    for tree in &flags.files {
        let wrong = |cause: String| {
            Problem::new(exit::USAGE, format!("--files {}", tree.display()))
                .cause(cause)
                .help("name a directory that exists")
        };
        let path = tree
            .canonicalize()
            .map_err(|error| wrong(error.to_string()))?;
        if !path.is_dir() {
            return Err(wrong("it is not a directory".to_owned()));
        }
        trees.push(path);
    }
    Ok(Some(Trees::Only(trees)))
}

fn open_events(path: Option<&Path>) -> Result<Option<EventsFile>, Problem> {
    let Some(path) = path else { return Ok(None) };
    EventsFile::open(path).map(Some).map_err(|error| {
        Problem::new(
            exit::SETUP,
            format!("cannot write events to {}", path.display()),
        )
        .cause(error)
        .help("name a file, a pipe or a FIFO that you can write")
    })
}

/// The pty's two sides and the outer terminal, if the launcher is to own it.
type Terminals = (Option<Inner>, Option<Streams>, Option<OuterTerminal>);

fn terminal(wanted: When) -> Result<Terminals, Problem> {
    let is_terminal = |fd: std::os::fd::BorrowedFd<'_>| isatty(fd).unwrap_or(false);
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let both = is_terminal(stdin.as_fd()) && is_terminal(stdout.as_fd());
    let own = match wanted {
        When::Auto => both,
        When::Always => true,
        When::Never => false,
    };
    if !own {
        return Ok((None, None, None));
    }
    let problem = cannot_begin("no terminal can be made for the program");
    let settings: Option<Termios> = both.then(|| tcgetattr(stdin.as_fd()).ok()).flatten();
    let size = both.then(|| size_of(&stdin)).flatten();
    let pty = openpty(size.as_ref(), settings.as_ref()).map_err(|errno| problem(errno.into()))?;
    for fd in [&pty.master, &pty.slave] {
        close_on_exec(fd).map_err(&problem)?;
    }
    let outer = match &settings {
        Some(settings) => Some(OuterTerminal {
            terminal: stdin.as_fd().try_clone_to_owned().map_err(&problem)?,
            settings: settings.clone(),
        }),
        None => None,
    };
    let inner = Inner {
        master: pty.master,
        outer_settings: settings,
    };
    let streams = Streams {
        terminal: pty.slave,
        stderr: is_terminal(stderr.as_fd()) || !both,
    };
    Ok((Some(inner), Some(streams), outer))
}

fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
    nix::fcntl::fcntl(fd, flags)?;
    Ok(())
}
