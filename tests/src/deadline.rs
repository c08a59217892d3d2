//! Deadlines: no test can hang, whatever the tool does.
//!
//! There are three of them. Each wait of the harness gives up after [`PATIENCE`] and fails the
//! test with the output so far. Each launched program carries an alarm, which the kernel keeps
//! across `exec`, and a parent-death signal. And the test process has an alarm of its own, for
//! a test that neither ends nor starts anything; shortly before it a watchdog names the running
//! tests. Each new session renews that alarm, so a run that makes progress never ends by it.
#![expect(unsafe_code, reason = "sets an alarm between fork and exec")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for one condition. Long, since a slow machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The life of one launched program, unless the test sets another.
pub(crate) const SESSION_SECONDS: u32 = 120;

/// How long a test process may go without a new session, a build of the tool included. Longer
/// than any session's life, unless a test sets that.
const PROCESS_SECONDS: u32 = 900;

/// The pause between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Looks until `condition` returns something, or [`PATIENCE`] is over.
pub fn wait<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    wait_for(PATIENCE, &mut condition)
}

/// Looks until `condition` returns something, or `patience` is over.
pub fn wait_for<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if begin.elapsed() > patience {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Lets time pass when the tool promises something *about* time: two presses that are further
/// apart than a burst, for instance. Never to wait for something to happen.
pub fn pace(duration: Duration) {
    std::thread::sleep(duration);
}

/// The result of a short program.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// Runs a program to its end, without input, under the kernel's deadline.
///
/// # Panics
/// When it can't be started.
pub fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(command);
    let mut errors = child.stderr.take().expect("stderr is a pipe");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        errors.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut stdout = Vec::new();
    child
        .stdout
        .take()
        .expect("stdout is a pipe")
        .read_to_end(&mut stdout)
        .expect("a pipe can be read");
    let stderr = reader
        .join()
        .expect("the reader does not panic")
        .expect("a pipe can be read");
    Output {
        status: child.wait().expect("the child is ours to wait for"),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Starts a program that can outlive neither its deadline nor the calling thread.
///
/// # Panics
/// When it can't be started.
pub fn spawn(command: &mut Command) -> std::process::Child {
    spawn_for(command, SESSION_SECONDS)
}

/// The same with another deadline.
pub(crate) fn spawn_for(command: &mut Command, seconds: u32) -> std::process::Child {
    guard_this_process();
    // SAFETY: the closure makes system calls only and touches no memory, so it may run
    // in a child forked from a process with threads.
    unsafe { command.pre_exec(move || limit_life(seconds)) };
    let _one_at_a_time = spawning();
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// A lock to hold while making children, or descriptors that a child must not inherit.
pub(crate) fn spawning() -> MutexGuard<'static, ()> {
    static SPAWNING: Mutex<()> = Mutex::new(());
    SPAWNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limit_life(seconds: u32) -> std::io::Result<()> {
    const CLOEXEC: i32 = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: takes numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if done != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // The program gets none of the tests' own descriptors but stdio. SAFETY: takes numbers
    // only; the descriptors stay open until exec.
    unsafe { libc::close_range(3, u32::MAX, CLOEXEC) };
    // A shell starts background jobs with SIGINT and SIGQUIT ignored, and their programs would
    // inherit that. The kernel refuses SIGKILL and SIGSTOP.
    for signal in 1..32 {
        // SAFETY: a default action runs no code.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: takes a number; the alarm stays across exec, and SIGALRM's default ends the
    // program.
    unsafe { libc::alarm(seconds) };
    Ok(())
}

/// The tests with a running session.
static RUNNING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A session begins: renews the process's alarm, and names the calling test for the watchdog.
pub(crate) fn note_test() {
    guard_this_process();
    renew();
    if let Some(name) = std::thread::current().name() {
        RUNNING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
    }
}

/// The calling test is over.
pub(crate) fn forget_test() {
    if let Some(name) = std::thread::current().name() {
        RUNNING
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}

/// How long before the end the watchdog speaks.
const NEAR: Duration = Duration::from_secs(5);

/// When the test process will be ended.
static PROCESS_END: Mutex<Option<Instant>> = Mutex::new(None);

/// Gives the test process its alarm and the watchdog, once.
pub fn guard_this_process() {
    static GUARD: Once = Once::new();
    GUARD.call_once(|| {
        renew();
        std::thread::spawn(|| {
            loop {
                while let Some(left) = time_left() {
                    std::thread::sleep(left);
                }
                let running = RUNNING
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                // Not by `eprintln`: the test's captured output dies with the process.
                let _ = writeln!(
                    std::io::stderr(),
                    "the deadline of the test process is near; still running: {running:?}"
                );
                // A session that begins now still renews the alarm.
                std::thread::sleep(NEAR);
            }
        });
    });
}

/// Gives the test process its whole time again. A new session does so; a test with longer
/// sessions calls it itself.
pub fn renew() {
    let life = Duration::from_secs(u64::from(PROCESS_SECONDS));
    *PROCESS_END.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + life);
    nix::unistd::alarm::set(PROCESS_SECONDS);
}

/// The time until the watchdog speaks; `None` if that time is over.
fn time_left() -> Option<Duration> {
    let end = (*PROCESS_END.lock().unwrap_or_else(PoisonError::into_inner))?;
    let near = end.checked_sub(NEAR)?;
    near.checked_duration_since(Instant::now())
}
