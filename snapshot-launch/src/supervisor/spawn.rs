//! The first processes of a session: the group's anchor and the program.

#![expect(unsafe_code, reason = "forks, and prepares a child before its exec")]

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, fork, geteuid, getpid, getppid, setpgid};
use snapshot_core::sys::{self, SignalSet};

use super::birth;
use super::descriptors::Limits;
use super::state::Config;
use super::unstarted::Unstarted;
use crate::huge_pages::Settings;
use crate::namespaces;
use crate::outside::Outside;

/// What to run, and with what.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// What it is called by: its argument 0.
    pub(crate) called: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) huge_pages: Option<Settings>,
    pub(crate) directory: Option<PathBuf>,
    /// The signal mask it is to have.
    pub(crate) mask: SignalSet,
}

/// Where the program's input and output go, if not where the launcher's do.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) terminal: OwnedFd,
    /// Whether stderr goes to the terminal too.
    pub(crate) stderr: bool,
}

/// A process that does nothing but lead the program's process group.
///
/// The group's number stays taken as long as any process has it, so neither the program,
/// which may want its own number back, nor the supervisor, whose group must not be the
/// program's or Ctrl+Z would be discarded, can lead it.
pub(crate) fn anchor() -> io::Result<Pid> {
    let supervisor = getpid();
    // SAFETY: the supervisor has one thread, so the child may do what it likes.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            // Both do it, so that neither has to wait for the other.
            let _ = setpgid(child, child);
            Ok(child)
        }
        ForkResult::Child => {
            let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            let _ = prctl::set_name(c"snap-anchor");
            if getppid() != supervisor {
                sys::exit_group(0);
            }
            sys::set_mask(SignalSet::ALL);
            for fd in 0..1024 {
                sys::close(fd);
            }
            loop {
                // Every signal is blocked, so this never returns.
                nix::unistd::pause();
            }
        }
    }
}

/// Where the agent's descriptor is put in the program, until the agent closes it: out of
/// the way of any that the program's loader uses.
const AGENT_FD: RawFd = 250;

/// The same, where the program's limit on descriptors is lower.
fn agent_fd(limits: Limits) -> RawFd {
    RawFd::try_from(limits.soft.saturating_sub(1)).map_or(AGENT_FD, |last| last.min(AGENT_FD))
}

/// Starts the program, with the agent preloaded and these limits on its descriptors.
///
/// # Errors
/// What the denial or the exec failed with.
pub(crate) fn program(
    config: &Config,
    address: &str,
    group: Option<Pid>,
    outside: &Outside,
    limits: Limits,
) -> Result<i32, Unstarted> {
    let Config {
        program,
        agent,
        streams,
        trigger,
        deny,
        ..
    } = config;
    let mut command = Command::new(&program.path);
    command.arg0(&program.called).args(&program.args);
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    let agent_fd = agent_fd(limits);
    let preload = format!("/proc/self/fd/{agent_fd}");
    let own = program
        .env
        .iter()
        .rev()
        .find(|(name, _)| name == "LD_PRELOAD")
        .map(|(_, value)| value.clone())
        .or_else(|| std::env::var_os("LD_PRELOAD"));
    let mut list = OsString::from(preload);
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        list.push(":");
        list.push(own);
    }
    command.env("LD_PRELOAD", list);
    let tunables = program.huge_pages.as_ref().map_or(0, |settings| {
        command.env("GLIBC_TUNABLES", &settings.value);
        settings.ours
    });
    let letter = format!(
        "{agent_fd},{trigger},{:x},{tunables},{address}",
        program.mask.0
    );
    command.env("CARGO_SNAPSHOT_AGENT", letter);
    if let Some(streams) = streams {
        command.stdin(Stdio::from(streams.terminal.try_clone()?));
        command.stdout(Stdio::from(streams.terminal.try_clone()?));
        if streams.stderr {
            command.stderr(Stdio::from(streams.terminal.try_clone()?));
        }
    }
    if let Some(group) = group {
        command.process_group(group.as_raw());
    }
    let supervisor = getpid();
    let agent = agent.as_raw_fd();
    let has_own_user = outside.is_another() && !geteuid().is_root();
    // Until the agent's handlers are in place the trigger waits.
    let mask = program.mask.with(SignalSet::only(*trigger));
    let before_exec = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != supervisor {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: both are plain descriptor numbers; the second is not in use here.
        if unsafe { libc::dup2(agent, agent_fd) } < 0 {
            return Err(io::Error::last_os_error());
        }
        limits.put_back()?;
        if has_own_user {
            namespaces::leave_only_the_right_to_choose_ids()?;
        }
        sys::set_mask(mask);
        Ok(())
    };
    // SAFETY: the closure calls async-signal-safe functions only, and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
    birth::start(&mut command, outside, deny)
}

/// Names the calling process for `ps`.
pub(crate) fn name_process(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name);
    }
}
