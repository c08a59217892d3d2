//! A function as a transaction over the whole program.
//!
//! A branch that fails can hand on nothing but a text, since its memory goes. So the function's
//! number travels as text, and what it says in words behind it.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::fmt::{self, Display};
use std::time::Duration;

use snapshot_core::{AttemptError, Cause, Report, SnapshotError};

use crate::border::{Callback, Growing, Out, fill_text, guarded, text_at};
use crate::error::{Failure, SNAPSHOT_TEXT_BYTES, keep_text};
use crate::report::{number_of, snapshot_report};

/// What the function did stays.
pub const SNAPSHOT_COMMITTED: c_int = 0;
/// It returned a number that is not 0.
pub const SNAPSHOT_FAILED: c_int = 1;
/// It took longer than it had time.
pub const SNAPSHOT_DEADLINE: c_int = 2;
/// The process ended, or somebody else has reverted it: a crash, a kill, an exit, Ctrl+C.
pub const SNAPSHOT_ENDED: c_int = 3;
/// Code in Rust below it panicked.
pub const SNAPSHOT_PANICKED: c_int = 4;

/// How an attempt has ended.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct snapshot_outcome {
    /// Set it to `sizeof(struct snapshot_outcome)` before the call.
    pub size: u32,
    /// `SNAPSHOT_COMMITTED`, or why the function was not: `SNAPSHOT_FAILED`, `SNAPSHOT_DEADLINE`,
    /// `SNAPSHOT_ENDED`, `SNAPSHOT_PANICKED`; an error if it was not called.
    pub cause: i32,
    /// What the function returned, if it failed; else 0.
    pub error: i32,
    /// The snapshot's number; 0 if the function was not undone.
    pub id: u32,
    /// How the branch has ended: one of the `SNAPSHOT_ENDED_*`.
    pub ended: u32,
    /// The exit status or the signal; else 0.
    pub number: i32,
    /// The time from the branch's end to here, in nanoseconds.
    pub latency_ns: u64,
    /// How many kernel objects (file offsets, timers) could not be put back.
    pub not_restored: u32,
    /// `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
    pub rollback: u32,
    /// Why, in words; cut if it is long. `snapshot_last_error` has all of it.
    pub text: [c_char; SNAPSHOT_TEXT_BYTES],
}

// SAFETY: it is `repr(C)`; the sizes of its fields leave no padding; the size is the first.
unsafe impl Growing for snapshot_outcome {
    const FIRST_BYTES: u32 = 296;

    fn set_size(&mut self, bytes: u32) {
        self.size = bytes;
    }
}

thread_local! {
    /// Why the function that runs in this thread is about to fail.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `f(data)`. If it returns 0, what it did stays. If it returns another number, or crashes in
/// any way (abort, SIGSEGV, stack overflow, out of memory), or takes longer than `deadline_ms`
/// milliseconds (0: it may take any time), the program goes on here as if it had never run.
///
/// Returns 0 if it stays, `SNAPSHOT_FAILED` and so on if it was undone, or an error. With an error
/// `f` was not called; or it has failed and could not be undone, because somebody has dropped the
/// snapshot, for example. Then the outcome says why it failed, and `snapshot_last_error` why it was
/// not undone. `outcome` may be null.
///
/// An exception in C++ that leaves `f` ends the process, and is undone as a crash; `snapshot.hpp`
/// has an attempt that catches them. A process that `f` has forked must not return from it.
///
/// # Safety
/// `f` is called with `data` in this thread. `outcome` must be null or a structure with its size
/// set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_attempt(
    f: Option<unsafe extern "C-unwind" fn(data: *mut c_void) -> c_int>,
    data: *mut c_void,
    deadline_ms: u64,
    outcome: *mut snapshot_outcome,
) -> c_int {
    guarded(|| {
        // SAFETY: by this function's own condition.
        let out = unsafe { Out::at(outcome) }?;
        let callback = Callback::new(f, data)?;
        let f = move || match callback.call() {
            0 => Ok(()),
            number => Err(Said::now(number)),
        };
        REASON.take();
        let tried = match deadline_ms {
            0 => snapshot_core::attempt(f),
            _ => snapshot_core::attempt_for(Duration::from_millis(deadline_ms), f),
        };
        match tried {
            Ok(()) => {
                out.fill(snapshot_outcome::new(SNAPSHOT_COMMITTED));
                Ok(SNAPSHOT_COMMITTED)
            }
            Err(AttemptError::Undone { cause, report }) => {
                let (outcome, text) = snapshot_outcome::because(&cause, Some(&report));
                out.fill(outcome);
                keep_text(&text);
                Ok(outcome.cause)
            }
            Err(AttemptError::NotUndone { cause, why }) => {
                out.fill(snapshot_outcome::because(&cause, None).0);
                Err(why.into())
            }
            Err(AttemptError::NotBegun(error)) => not_begun(out, error),
            // `AttemptError` may grow.
            Err(_) => Err(Failure::defect()),
        }
    })
}

/// Says in words why the function of the innermost attempt in this thread is about to fail. The words
/// come through the revert, into the outcome's text; of a long text the first 4,000 bytes do.
/// `reason` is UTF-8 and is copied. Returns 0 or an error.
///
/// # Safety
/// `reason` must be null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_set_reason(reason: *const c_char) -> c_int {
    guarded(|| {
        // SAFETY: by this function's own condition.
        let text = unsafe { text_at(reason) };
        REASON.set(Some(text.into_owned()));
        Ok(0)
    })
}

fn not_begun(out: Out<snapshot_outcome>, error: SnapshotError) -> Result<c_int, Failure> {
    let failure = Failure::from(error);
    let mut outcome = snapshot_outcome::new(failure.number());
    fill_text(&mut outcome.text, failure.text());
    out.fill(outcome);
    Err(failure)
}

/// What a function that has failed says: its number, and maybe why.
struct Said {
    number: c_int,
    reason: Option<String>,
}

impl Said {
    fn now(number: c_int) -> Self {
        let reason = REASON.take();
        Self { number, reason }
    }

    /// Back from what is shown. The second is "" if there was no reason.
    fn parse(shown: &str) -> (c_int, &str) {
        let (number, reason) = shown.split_once(' ').unwrap_or((shown, ""));
        (number.parse().unwrap_or(-1), reason)
    }
}

impl Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        match &self.reason {
            Some(reason) => write!(f, " {reason}"),
            None => Ok(()),
        }
    }
}

impl snapshot_outcome {
    fn new(cause: c_int) -> Self {
        Self {
            size: 0,
            cause,
            error: 0,
            id: 0,
            ended: 0,
            number: 0,
            latency_ns: 0,
            not_restored: 0,
            rollback: number_of(snapshot_core::rollback()).unsigned_abs(),
            text: [0; SNAPSHOT_TEXT_BYTES],
        }
    }

    /// What failed, with its full text.
    fn because(cause: &Cause, report: Option<&Report>) -> (Self, String) {
        let (number, error, text) = match cause {
            Cause::Error(shown) => {
                let (error, reason) = Said::parse(shown);
                let text = match reason {
                    "" => format!("it failed with {error}"),
                    _ => reason.to_owned(),
                };
                (SNAPSHOT_FAILED, error, text)
            }
            Cause::Deadline => (SNAPSHOT_DEADLINE, 0, cause.to_string()),
            Cause::Panic(_) => (SNAPSHOT_PANICKED, 0, cause.to_string()),
            // `Cause` may grow.
            _ => (SNAPSHOT_ENDED, 0, cause.to_string()),
        };
        let mut outcome = Self::new(number);
        outcome.error = error;
        fill_text(&mut outcome.text, &text);
        if let Some(report) = report.map(snapshot_report::reverted) {
            outcome.id = report.id;
            outcome.ended = report.ended;
            outcome.number = report.number;
            outcome.latency_ns = report.latency_ns;
            outcome.not_restored = report.not_restored;
            outcome.rollback = report.rollback;
        }
        (outcome, text)
    }
}
