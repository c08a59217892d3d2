//! What a program wants done before each take, and after each revert.
//!
//! A take that the program asks for runs the hooks in the thread that takes. One from outside stops
//! the program anywhere, maybe in the middle of an allocation, so no hook runs before it. After a
//! revert to such a snapshot [`super::helper`]'s thread runs them.
//!
//! Context: IN-PROCESS.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::agent::notices;
use super::error::SnapshotError;
use super::helper;
use super::own_lock::OwnLock;

type Action = Arc<Mutex<dyn FnMut() + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    BeforeTake,
    /// The library's own, before all others.
    FirstAfterRevert,
    AfterRevert,
}

struct Entry {
    number: u64,
    when: When,
    action: Action,
}

struct Hooks {
    entries: Vec<Entry>,
    next: u64,
}

static HOOKS: OwnLock<Hooks> = OwnLock::new(Hooks {
    entries: Vec::new(),
    next: 1,
});
/// Held by the thread in which hooks run.
static RUNNING: OwnLock<()> = OwnLock::new(());
/// The number of reverts after which the hooks have run. It goes back with the program.
static RUN_AFTER: AtomicU32 = AtomicU32::new(0);

/// How many threads take snapshots. One that comes back runs the hooks itself, so the library's thread
/// leaves them to it. It goes back with the program, so a revived taker finds itself counted.
static TAKING: AtomicU32 = AtomicU32::new(0);

/// A registered hook. It stays when this is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hook {
    number: u64,
}

impl Hook {
    /// Its number, which is never 0: for languages that hold no Rust value.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// The hook with this number.
    pub const fn from_number(number: u64) -> Self {
        Self { number }
    }

    /// The hook runs no more. A run that another thread has begun goes on.
    ///
    /// # Errors
    /// [`SnapshotError::Busy`] in a signal handler that has interrupted the library.
    pub fn remove(self) -> Result<(), SnapshotError> {
        let mut hooks = HOOKS.lock()?;
        hooks.entries.retain(|entry| entry.number != self.number);
        Ok(())
    }
}

/// Calls `hook` before each snapshot that the program itself takes, in the order of registration and
/// in the thread that takes. What it does belongs to the snapshot.
///
/// Takes that come from outside (a signal, a key, another terminal) stop the program wherever it is,
/// and run no hook. In a hook the library takes and reverts nothing: [`SnapshotError::InHook`].
///
/// ```
/// # fn main() -> Result<(), snapshot_core::SnapshotError> {
/// let hook = snapshot_core::on_snapshot(|| eprintln!("a snapshot is taken"))?;
/// hook.remove()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`SnapshotError::Busy`] in a signal handler that has interrupted the library.
pub fn on_snapshot(hook: impl FnMut() + Send + 'static) -> Result<Hook, SnapshotError> {
    add(When::BeforeTake, hook)
}

/// Calls `hook` after each revert, the one that was registered last first: for connections that have
/// to be made again, and for random numbers that must not come twice.
///
/// After a revert to a snapshot that the program took itself they run in the thread that took it,
/// before [`crate::snapshot`] returns. Else a thread of the library's runs them, and the program goes
/// on meanwhile.
///
/// # Errors
/// [`SnapshotError::Busy`] as above, or [`SnapshotError::Failed`] if that thread can't be started.
pub fn on_revert(hook: impl FnMut() + Send + 'static) -> Result<Hook, SnapshotError> {
    add_after_revert(When::AfterRevert, hook)
}

/// The same for a hook of the library's that must run before the program's.
///
/// # Errors
/// As [`on_revert`].
pub(super) fn first_on_revert(hook: impl FnMut() + Send + 'static) -> Result<Hook, SnapshotError> {
    add_after_revert(When::FirstAfterRevert, hook)
}

fn add_after_revert(
    when: When,
    hook: impl FnMut() + Send + 'static,
) -> Result<Hook, SnapshotError> {
    let notices = notices()?;
    if HOOKS.lock()?.entries.iter().all(is_before_take) {
        // What was before is none of its business.
        RUN_AFTER.store(notices.count_of_reverts(), Ordering::Relaxed);
    }
    helper::does(notices, || {
        // Acquire: whoever is not counted any more has run them.
        if TAKING.load(Ordering::Acquire) == 0 {
            let _ = after_revert();
        }
    })?;
    add(when, hook)
}

fn is_before_take(entry: &Entry) -> bool {
    entry.when == When::BeforeTake
}

fn add(when: When, hook: impl FnMut() + Send + 'static) -> Result<Hook, SnapshotError> {
    let mut hooks = HOOKS.lock()?;
    let number = hooks.next;
    hooks.next += 1;
    hooks.entries.push(Entry {
        number,
        when,
        action: Arc::new(Mutex::new(hook)),
    });
    Ok(Hook { number })
}

/// # Errors
/// [`SnapshotError::InHook`] if this thread runs a hook.
pub(super) fn must_not_run() -> Result<(), SnapshotError> {
    match RUNNING.is_mine() {
        true => Err(SnapshotError::InHook),
        false => Ok(()),
    }
}

fn actions(when: When) -> Result<Vec<Action>, SnapshotError> {
    let hooks = HOOKS.lock()?;
    let chosen = hooks.entries.iter().filter(|entry| entry.when == when);
    Ok(chosen.map(|entry| Arc::clone(&entry.action)).collect())
}

fn run(actions: impl Iterator<Item = Action>) {
    for action in actions {
        (action.lock().unwrap_or_else(PoisonError::into_inner))();
    }
}

/// A take by the program, as long as this lives.
#[derive(Debug)]
pub(super) struct Taking(());

impl Taking {
    pub(super) fn begin() -> Self {
        TAKING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        TAKING.fetch_sub(1, Ordering::Release);
    }
}

/// Runs those before a take.
pub(super) fn before_take() -> Result<(), SnapshotError> {
    must_not_run()?;
    if HOOKS.lock()?.entries.is_empty() {
        return Ok(());
    }
    let _running = RUNNING.lock()?;
    run(actions(When::BeforeTake)?.into_iter());
    Ok(())
}

/// Runs those after a revert, if nobody has done so since the last one. Returns when they have run.
///
/// After each take, whatever has come of it: one from outside may have come in the middle of it, and
/// was reverted to while the library's thread left the hooks to this one.
pub(super) fn after_revert() -> Result<(), SnapshotError> {
    if HOOKS.lock()?.entries.iter().all(is_before_take) {
        return Ok(());
    }
    let _running = RUNNING.lock()?;
    let reverts = notices()?.count_of_reverts();
    if RUN_AFTER.swap(reverts, Ordering::Relaxed) != reverts {
        // Looked up now: this thread may have been copied on its way here, and some were removed.
        run(actions(When::FirstAfterRevert)?.into_iter());
        run(actions(When::AfterRevert)?.into_iter().rev());
    }
    Ok(())
}
