//! The session's own namespaces: they keep the program's ids free while it is dead, and end
//! everything of the session with it.
//!
//! ```text
//! launcher            outside
//!    └─ snap-init     pid 1: reaps all that are left, ends with the supervisor
//!         └─ supervisor
//!              └─ live, frozen copies, ...
//! ```
//!
//! An ordinary user also gets a user namespace, which maps the user's own ids alone: it gives
//! the session the right to choose ids. Root has that right. If any of it is refused the
//! session has no namespaces at all, and says why.
//!
//! *Why an init of its own?* Programs take a parent with pid 1 for a parent that has died.
#![expect(unsafe_code, reason = "forks into namespaces")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, pipe2};
use serde::{Deserialize, Serialize};
use snapshot_core::sys;

use crate::processes::outside::Outside;
use crate::refusal::Refusal;

/// Which side of the fork this is.
pub(crate) enum Side {
    /// The launcher, and its child in the new namespaces.
    Launcher(Pid),
    /// The supervisor, and its view of what is outside.
    Supervisor(Outside),
}

/// Why there are no namespaces.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    step: Step,
    errno: i32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Step {
    Make,
    MapIds,
    Detach,
    MountProc,
    Fork,
}

impl Failure {
    fn of(step: Step) -> impl Fn(io::Error) -> Self {
        move |error| Self {
            step,
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// In words, for a person.
    pub(crate) fn explain(&self) -> Refusal {
        Refusal::new("namespaces", self.why(), self.help())
    }

    /// A fragment: what was refused, and by what.
    fn why(&self) -> String {
        let is_root = geteuid().is_root();
        let what = match self.step {
            Step::Make if is_root => "namespaces can't be made",
            Step::Make => "user namespaces can't be made",
            Step::MapIds => "ids can't be mapped in a user namespace",
            Step::Detach => "mounts can't be kept apart",
            Step::MountProc => "/proc can't be mounted",
            Step::Fork => "the supervisor can't be forked",
        };
        let error = io::Error::from_raw_os_error(self.errno);
        format!("{what}: {error}")
    }

    /// The next step for a person who wants them.
    fn help(&self) -> &'static str {
        match (self.step, Errno::from_raw(self.errno)) {
            (Step::Make, Errno::ENOSPC) => {
                "raise /proc/sys/user/max_user_namespaces and max_pid_namespaces, or leave the flag out"
            }
            (Step::Make, Errno::EPERM) => {
                "allow user namespaces (sysctl kernel.unprivileged_userns_clone, or the container's seccomp profile), or leave the flag out"
            }
            (Step::MapIds | Step::Detach, _) => {
                "let the security module allow user namespaces for this program (on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0), or leave the flag out"
            }
            (Step::MountProc, _) => {
                "in a container, run it with an unmasked /proc (docker: --security-opt systempaths=unconfined), or leave the flag out"
            }
            _ => "leave the flag out to go on without",
        }
    }
}

/// Forks a supervisor into its own namespaces. After an error no process of it is left, and no
/// id has changed.
///
/// The calling process must have a single thread.
pub(crate) fn fork_into() -> Result<Side, Failure> {
    let (verdict, report) =
        pipe2(OFlag::O_CLOEXEC).map_err(|errno| Failure::of(Step::Fork)(errno.into()))?;
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    let own_user = !geteuid().is_root();
    if own_user {
        flags |= libc::CLONE_NEWUSER;
    }
    let ids = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: like a fork: it names no stack, and this process has a single thread, so the
    // child is unrestricted. libc does not learn its new id, so it makes only the few calls
    // below before it forks again.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    match child {
        ..0 => Err(Failure::of(Step::Make)(io::Error::last_os_error())),
        0 => {
            drop(verdict);
            let outside = match set_up(own_user.then_some(ids)) {
                Ok(outside) => outside,
                Err(refusal) => give_up(report, &refusal),
            };
            // SAFETY: a single thread, as above.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    drop(report);
                    Ok(Side::Supervisor(outside))
                }
                Ok(ForkResult::Parent { child }) => {
                    drop((report, outside));
                    be_init(child)
                }
                Err(errno) => give_up(report, &Failure::of(Step::Fork)(errno.into())),
            }
        }
        child => {
            drop(report);
            let child = Pid::from_raw(i32::try_from(child).unwrap_or(0));
            let mut text = String::new();
            let _ = File::from(verdict).read_to_string(&mut text);
            if text.is_empty() {
                return Ok(Side::Launcher(child));
            }
            let _ = waitpid(child, None);
            Err(serde_json::from_str(&text).unwrap_or(Failure {
                step: Step::Make,
                errno: 0,
            }))
        }
    }
}

/// In pid 1, after a failure: says why, and ends.
fn give_up(report: OwnedFd, failure: &Failure) -> ! {
    let text = serde_json::to_string(failure).unwrap_or_default();
    let _ = File::from(report).write_all(text.as_bytes());
    sys::exit_group(1)
}

/// In pid 1: sets the ids, and mounts a `/proc` of this namespace.
fn set_up(ids: Option<(u32, u32)>) -> Result<Outside, Failure> {
    // The former `/proc`, which shows the processes with their outer numbers.
    let former = open(
        "/proc",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| Failure::of(Step::MountProc)(errno.into()))?;
    if let Some((user, group)) = ids {
        map_ids(user, group).map_err(Failure::of(Step::MapIds))?;
    }
    let nothing = None::<&str>;
    // Outside mounts show up inside, but not the other way round.
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        nothing,
    )
    .map_err(|errno| Failure::of(Step::Detach)(errno.into()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, nothing)
        .map_err(|errno| Failure::of(Step::MountProc)(errno.into()))?;
    Ok(Outside::through(former))
}

/// Maps one id each, as much as an ordinary user may. Then groups can't be changed, and other
/// groups keep their rights but lose their names.
fn map_ids(user: u32, group: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// The life of pid 1: it reaps, and ends with the supervisor. Then the kernel ends all that is
/// left in the namespace.
fn be_init(supervisor: Pid) -> ! {
    crate::processes::own_name::name_process(snapshot_core::process::lineage::INIT_NAME);
    // A reader of the program's pipes must not wait for this process. SAFETY: nothing here uses
    // a descriptor any more.
    unsafe { libc::close_range(0, libc::c_uint::MAX, 0) };
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes one status, a live local.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if pid == supervisor.as_raw() || (pid < 0 && Errno::last() == Errno::ECHILD) {
            sys::exit_group(libc::WEXITSTATUS(status));
        }
    }
}

/// The one right that a user-namespace session leaves the program: to choose the ids of its
/// processes.
const CHOOSE_IDS: libc::c_ulong = 40;

/// In the program, just before its exec: gives up all rights of pid 1 of a user namespace but
/// the right to choose ids, which the exec passes on.
///
/// # Errors
/// EINVAL on a kernel before 5.9, which does not know this right.
pub(crate) fn leave_only_the_right_to_choose_ids() -> io::Result<()> {
    let one = 1_u64 << CHOOSE_IDS;
    // Covers every capability that this kernel knows.
    for capability in 0..64 {
        // SAFETY: both take numbers.
        let known = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        if known < 0 {
            break;
        }
        if capability != CHOOSE_IDS {
            // SAFETY: as above.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
    }
    set_capabilities(one)?;
    // SAFETY: takes numbers.
    let raised = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE,
            CHOOSE_IDS,
            0,
            0,
        )
    };
    if raised < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a process with a chosen id, and with no more rights than the program has.
///
/// # Errors
/// The kernel's error.
pub(crate) fn try_to_choose_an_id() -> io::Result<()> {
    const ANY: i32 = 1000;
    if !geteuid().is_root() {
        leave_only_the_right_to_choose_ids()?;
    }
    // SAFETY: this process has a single thread, and the child ends at once.
    match unsafe { sys::fork_with_ids(&[ANY]) } {
        Ok(sys::Side::Copy) => sys::exit_group(0),
        Ok(sys::Side::Original(pid)) => {
            let _ = waitpid(Pid::from_raw(pid), None);
            Ok(())
        }
        Err(errno) => Err(io::Error::from_raw_os_error(errno.0)),
    }
}

/// capset(2): effective, permitted and inheritable together.
fn set_capabilities(set: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let low = u32::try_from(set & 0xffff_ffff).unwrap_or(0);
    let high = u32::try_from(set >> 32).unwrap_or(0);
    let data = [low, low, low, high, high, high];
    // SAFETY: a header of two numbers and two sets of three, in this version's format.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
