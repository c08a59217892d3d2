//! A closure as a transaction over the whole program: memory, threads, kernel objects and, under a
//! launcher, files.
//!
//! The branch that fails can't return anything: its memory goes. It leaves a word in memory that no
//! revert rolls back ([`crate::process::notices`]).
//!
//! Context: IN-PROCESS.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::agent::notices;
use super::error::SnapshotError;
use super::report::{Arrival, Report};
use super::snapshots::{Snapshot, drop_snapshot, revert_to};
use crate::process::notices::WORD_BYTES;
use crate::terms::{Ended, SnapshotId};

/// Why an attempt came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptError {
    /// There is no snapshot to go back to, so nothing was tried.
    NotBegun(SnapshotError),
    /// The program is as it was before.
    Undone {
        /// Why.
        cause: Cause,
        /// What the revert says.
        report: Report,
    },
    /// The closure has succeeded, but the snapshot before it is still there: a crash would undo what it
    /// did.
    NotSettled(SnapshotError),
    /// The closure has returned an error, and what it did could not be undone.
    NotUndone {
        /// Its error.
        cause: Cause,
        /// Why there was no revert: somebody has dropped the snapshot, for example.
        why: SnapshotError,
    },
}

/// What ended an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The closure returned this error, as [`Display`] shows it; of a long one the first
    /// 4,000 bytes.
    Error(String),
    /// It panicked, with this message.
    Panic(String),
    /// It took longer than it had time.
    Deadline,
    /// The process ended, or somebody else has reverted it: a crash, a kill, an exit, Ctrl+C.
    Ended(Ended),
}

impl Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => f.write_str(text),
            Self::Panic(text) => write!(f, "it panicked: {text}"),
            Self::Deadline => f.write_str("it took too long"),
            Self::Ended(ended) => write!(f, "its branch {ended}"),
        }
    }
}

impl Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun(error) => write!(f, "the attempt was not begun: {error}"),
            Self::Undone { cause, .. } => write!(f, "the attempt was undone: {cause}"),
            Self::NotSettled(error) => {
                write!(
                    f,
                    "the attempt has succeeded, but can still be undone: {error}"
                )
            }
            Self::NotUndone { cause, why } => {
                write!(f, "the attempt failed: {cause}; it was not undone: {why}")
            }
        }
    }
}

impl std::error::Error for AttemptError {}

/// Takes a snapshot, runs `f`, and keeps what it did if it returns `Ok`. If it returns an error,
/// panics or crashes in any way (abort, SIGSEGV, stack overflow, out of memory), the program goes on
/// here as if it had never run.
///
/// On success the snapshot is dropped, so what an outer snapshot covers can still be undone, and what
/// waits for a commit ([`crate::on_commit`]) waits on. Snapshots that `f` has taken and left stay;
/// a crash then goes back to the newest of them.
///
/// It is of the whole program: what other threads do meanwhile is undone as well.
///
/// An `exit` in `f` is undone like a crash, unless the session was started with `--on-exit commit`. A
/// process that `f` has forked must not return from it.
///
/// ```no_run
/// use snapshot_core::{AttemptError, attempt};
/// let mut numbers = vec![3, 1, 2];
/// let tried: Result<(), AttemptError> = attempt(|| {
///     numbers.clear();
///     Err("there are no numbers left")
/// });
/// assert!(tried.is_err());
/// assert_eq!(numbers, [3, 1, 2]);
/// ```
///
/// # Errors
/// See [`AttemptError`].
#[track_caller]
pub fn attempt<T, E: Display>(f: impl FnOnce() -> Result<T, E>) -> Result<T, AttemptError> {
    run(None, Location::caller(), f)
}

/// As [`attempt`], and undoes what `f` does if it takes longer than `time`.
///
/// # Errors
/// See [`AttemptError`].
#[track_caller]
pub fn attempt_for<T, E: Display>(
    time: Duration,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, AttemptError> {
    run(Some(time), Location::caller(), f)
}

/// As [`revert_to`], and says why: whoever comes back finds it by [`reason_for`]. For attempts that are
/// no closure, such as a block in another language.
///
/// # Errors
/// As [`revert_to`].
pub fn revert_with(id: SnapshotId, reason: &str) -> Result<Infallible, SnapshotError> {
    Err(leave_and_revert(id, Word::Error, reason))
}

/// Why the branch of this snapshot has ended, if it said so by [`revert_with`]; of a long text the
/// first 4,000 bytes. It is there once, in the program that has just come back.
pub fn reason_for(id: SnapshotId) -> Option<String> {
    match Word::left_for(id) {
        Some(Cause::Error(text)) => Some(text),
        _ => None,
    }
}

fn run<T, E: Display>(
    time: Option<Duration>,
    place: &'static Location<'static>,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, AttemptError> {
    let taken = Snapshot::take().label("attempt").now_at(place);
    let id = match taken.map_err(AttemptError::NotBegun)? {
        Arrival::Live(id) => id,
        Arrival::Reverted(report) => {
            let cause = Word::left_for(report.id)
                .filter(|_| report.ended == Ended::Reverted)
                .unwrap_or(Cause::Ended(report.ended));
            return Err(AttemptError::Undone { cause, report });
        }
    };
    let late = move || {
        leave_and_revert(id, Word::Deadline, "");
    };
    let watch = time.map(|time| Watch::begin(time, late)).transpose();
    let watch = match watch {
        Ok(watch) => watch,
        Err(error) => {
            settle(id)?;
            return Err(AttemptError::NotBegun(error));
        }
    };
    // Nobody sees what a panic has left half done: it is undone.
    let done = catch_unwind(AssertUnwindSafe(f));
    drop(watch);
    match done {
        Ok(Ok(value)) => {
            settle(id)?;
            Ok(value)
        }
        Ok(Err(error)) => {
            let text = error.to_string();
            let why = leave_and_revert(id, Word::Error, &text);
            let cause = Cause::Error(text);
            Err(AttemptError::NotUndone { cause, why })
        }
        Err(panic) => {
            leave_and_revert(id, Word::Panic, message_of(&*panic));
            resume_unwind(panic)
        }
    }
}

/// Drops an attempt's snapshot. If it is gone already, somebody has committed before.
fn settle(id: SnapshotId) -> Result<(), AttemptError> {
    match drop_snapshot(id) {
        Ok(()) | Err(SnapshotError::NoSuchSnapshot) => Ok(()),
        Err(error) => Err(AttemptError::NotSettled(error)),
    }
}

/// The first byte of the word that a failed attempt leaves. The snapshot's number and a text follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Word {
    Error = b'e',
    Panic = b'p',
    Deadline = b'd',
}

impl Word {
    const HEAD: usize = 5;

    fn encode(self, id: SnapshotId, text: &str, bytes: &mut [u8; WORD_BYTES]) -> usize {
        let mut end = text.len().min(WORD_BYTES - Self::HEAD);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let head = [self as u8].into_iter().chain(id.number().to_le_bytes());
        let all = head.chain(text.bytes().take(end));
        let mut length = 0;
        for (place, byte) in bytes.iter_mut().zip(all) {
            *place = byte;
            length += 1;
        }
        length
    }

    /// What the branch of this snapshot has left.
    fn left_for(id: SnapshotId) -> Option<Cause> {
        let mut bytes = [0; WORD_BYTES];
        let length = notices().ok()?.take_word(&mut bytes);
        let (&tag, rest) = bytes.get(..length)?.split_first()?;
        let (number, text) = rest.split_at_checked(Self::HEAD - 1)?;
        if number != id.number().to_le_bytes() {
            return None;
        }
        let text = String::from_utf8_lossy(text).into_owned();
        match tag {
            _ if tag == Self::Error as u8 => Some(Cause::Error(text)),
            _ if tag == Self::Panic as u8 => Some(Cause::Panic(text)),
            _ if tag == Self::Deadline as u8 => Some(Cause::Deadline),
            _ => None,
        }
    }
}

/// Leaves a word and reverts. Returns only if there is no revert. It allocates nothing: the rest of
/// the program may stand still with the allocator's lock.
fn leave_and_revert(id: SnapshotId, word: Word, text: &str) -> SnapshotError {
    let notices = notices();
    if let Ok(notices) = notices {
        let mut bytes = [0; WORD_BYTES];
        let length = word.encode(id, text, &mut bytes);
        notices.leave_word(bytes.get(..length).unwrap_or_default());
    }
    let Err(error) = revert_to(id);
    if let Ok(notices) = notices {
        notices.leave_word(&[]);
    }
    error
}

/// The message of a panic.
pub(in crate::library) fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(no message)")
}

/// As [`revert_with`] when the time is over, unless what this returns has been dropped by then. For
/// attempts that are no closure.
///
/// ```no_run
/// # use std::time::Duration;
/// # use snapshot_core::{Arrival, drop_snapshot, revert_after, snapshot};
/// if let Arrival::Live(id) = snapshot()? {
///     let deadline = revert_after(id, Duration::from_secs(2), "it took too long")?;
///     // The risky part.
///     drop(deadline);
///     drop_snapshot(id)?;
/// }
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
///
/// A thread of the library's waits for the time. If there is no such snapshot by then, nothing happens.
///
/// # Errors
/// [`SnapshotError::Failed`] if that thread can't be started.
pub fn revert_after(
    id: SnapshotId,
    time: Duration,
    reason: &str,
) -> Result<Deadline, SnapshotError> {
    let reason = reason.to_owned();
    Watch::begin(time, move || {
        leave_and_revert(id, Word::Error, &reason);
    })
    .map(Deadline)
}

/// Reverts when its time is over; see [`revert_after`].
///
/// To drop it ends that. If the time was over just before, the drop does not return.
#[derive(Debug)]
#[must_use = "a deadline ends when this is dropped"]
pub struct Deadline(#[expect(dead_code, reason = "it acts by its drop")] Watch);

/// A thread that does something when the time is over. It ends with this.
#[derive(Debug)]
struct Watch {
    is_done: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn begin(time: Duration, late: impl FnOnce() + Send + 'static) -> Result<Self, SnapshotError> {
        let is_done = Arc::new((Mutex::new(false), Condvar::new()));
        let watched = Arc::clone(&is_done);
        let thread = thread::Builder::new()
            .name("snapshot-watch".to_owned())
            .spawn(move || {
                let (is_done, told) = &*watched;
                let lock = is_done.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = told.wait_timeout_while(lock, time, |is_done| !*is_done);
                let (lock, _) = waited.unwrap_or_else(PoisonError::into_inner);
                if !*lock {
                    // If there is no revert, the attempt goes on without an end.
                    late();
                }
            })
            .map_err(|error| SnapshotError::Failed {
                doing: "starting the thread for its deadline",
                errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            })?;
        Ok(Self {
            is_done,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (is_done, told) = &*self.is_done;
        *is_done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.notify_one();
        // If the time was over just before, it reverts, and this never returns.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_cut_at_a_character() {
        let mut bytes = [0; WORD_BYTES];
        let text = "ü".repeat(WORD_BYTES);
        let length = Word::Error.encode(SnapshotId::new(7), &text, &mut bytes);
        let text = std::str::from_utf8(&bytes[Word::HEAD..length]).expect("it is text");
        assert!(text.chars().all(|letter| letter == 'ü'));
        assert!(length > WORD_BYTES - 3);
        assert_eq!(bytes[..Word::HEAD], [b'e', 7, 0, 0, 0]);
    }
}
