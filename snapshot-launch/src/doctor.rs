//! The doctor: tries what this machine lets a session promise.

use std::ffi::OsStr;
use std::path::PathBuf;

use nix::sys::utsname::uname;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::geteuid;
use serde::Serialize;
use snapshot_core::sys;

pub use crate::inspect::Launchable;
use crate::inspect::{self, Inspection};
use crate::namespaces::{self, Side};
use crate::program;
use crate::refusal::Refusal;
use crate::talk::{event::Tier, problem::Problem};

/// The doctor's findings.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The ids that a session can promise here.
    pub tier: Tier,
    /// The reason for not more.
    pub why: Option<String>,
    /// The way to the next tier.
    pub help: Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// What a session's namespaces change for the program.
    pub changes: Vec<&'static str>,
    /// Whether a session could launch the named program.
    pub program: Option<Launchable>,
    /// What would come back of the named process.
    pub process: Option<Inspection>,
}

/// What to examine beside the machine.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// Nothing.
    Machine,
    /// A program that could be launched.
    Program(&'a OsStr),
    /// A running process.
    Process(i32),
}

/// What differs in an ordinary user's namespaces.
const CHANGES_FOR_USERS: [&str; 4] = [
    "sudo, su, ping and other set-uid programs have no rights in the session",
    "files of other users are shown as nobody's, groups beside the own one as nogroup; what may be read and written stays the same",
    "the program has CAP_CHECKPOINT_RESTORE in its own user namespace, to choose its ids",
    "after a revert its pid is the same inside the session, and a new one outside",
];

/// What differs in any namespaces.
const CHANGES: [&str; 3] = [
    "/proc and ps show the session alone; processes outside can't be signalled from inside",
    "threads and children of the program have other ids outside than inside",
    "what is mounted in the session is not seen outside",
];

/// Looks at this machine, and at a program or a process.
///
/// The calling process must have a single thread: it is forked.
///
/// # Errors
/// If the test itself is impossible; if there is no such process, or it may not be inspected.
pub fn examine(subject: Subject<'_>) -> Result<Machine, Problem> {
    let (program, process) = match subject {
        Subject::Machine => (None, None),
        Subject::Program(program) => (Some(launchable(program)), None),
        Subject::Process(pid) => (None, Some(inspect::inspect(pid)?)),
    };
    let kernel = uname().map_or_else(
        |_| String::new(),
        |names| names.release().to_string_lossy().into_owned(),
    );
    let (tier, why, help) = match try_namespaces() {
        Ok(()) => (Tier::Full, None, None),
        Err(Refusal { why, help, .. }) => (Tier::IdsDiffer, Some(why), Some(help)),
    };
    let mut changes = Vec::new();
    if tier == Tier::Full {
        if !geteuid().is_root() {
            changes.extend(CHANGES_FOR_USERS);
        }
        changes.extend(CHANGES);
    }
    Ok(Machine {
        tier,
        why,
        help,
        kernel,
        changes,
        program,
        process,
    })
}

impl Launchable {
    /// From the search's result: its place, or why it can't be launched.
    pub(crate) fn of(found: Result<Option<PathBuf>, Problem>) -> Self {
        let (path, problem) = match found {
            Ok(path) => (path, None),
            Err(problem) => (None, Some(problem)),
        };
        let (cause, help) = problem.map_or((None, None), |problem| (problem.cause, problem.help));
        Self { path, cause, help }
    }
}

fn launchable(called: &OsStr) -> Launchable {
    Launchable::of(program::find(called).map(|found| Some(found.path)))
}

/// Makes namespaces as a session does, and a process with a chosen id in them.
fn try_namespaces() -> Result<(), Refusal> {
    let child = match namespaces::fork_into() {
        Ok(Side::Supervisor(_)) => sys::exit_group(match namespaces::try_to_choose_an_id() {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(1),
        }),
        Ok(Side::Launcher(child)) => child,
        Err(failure) => return Err(failure.explain()),
    };
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, 0)) => Ok(()),
        Ok(WaitStatus::Exited(_, errno)) => Err(Refusal::new(
            "namespaces",
            format!(
                "ids can't be chosen in a namespace: {}",
                std::io::Error::from_raw_os_error(errno)
            ),
            "a kernel from 5.9 on and a seccomp profile that lets clone3 through",
        )),
        other => Err(Refusal::failed(
            format!("the attempt was interrupted: {other:?}"),
            "try again",
        )),
    }
}
