//! Starts the program's process.

#![expect(unsafe_code, reason = "prepares a child before its exec")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::libc;
use nix::unistd::{Pid, geteuid, getpid, getppid};
use snapshot_core::sys::{self, SignalSet};

use super::birth;
use crate::processes::{child::Child, outside::Outside};
use crate::supervisor::{config::Config, descriptors::Limits};
use crate::talk::unstarted::Unstarted;
use crate::{inherited, namespaces};

/// The agent's descriptor in the program, until the agent closes it: this number or a little
/// above, out of the way of those that the loader uses.
const AGENT_FD: RawFd = 250;

/// The same, within the program's limit on descriptors.
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
) -> Result<Child, Unstarted> {
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
    // Not a number that the caller hands on to the program.
    let agent = inherited::out_of_the_way(agent, agent_fd(limits))?;
    let agent_fd = agent.as_raw_fd();
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
    let message = format!(
        "{agent_fd},{trigger},{:x},{tunables},,{address}",
        program.ways.mask.0
    );
    command.env("CARGO_SNAPSHOT_AGENT", message);
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
    let (ways, ignored) = (program.ways, program.ignored);
    let has_own_user = outside.is_another() && !geteuid().is_root();
    // The trigger waits until the agent's handlers are in place.
    let mask = ways.mask.with(SignalSet::only(*trigger));
    let before_exec = move || {
        if getppid() != supervisor {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        inherited::keep_across_exec(agent_fd)?;
        inherited::ignore(ignored);
        ways.put_back_for_program();
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
