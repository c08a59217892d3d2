//! The functions that a program calls. Under a launcher they call the preloaded agent; alone
//! they work in the classic orientation.
//!
//! Context: IN-PROCESS.
#![cfg_attr(
    not(test),
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "called by the program, as any function of a library"
    )
)]
#![expect(
    unsafe_code,
    reason = "calls the agent's exported function, and fflush"
)]

use std::convert::Infallible;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use super::{
    alone,
    bridge::{self, Answer, Call, Entry},
    error::SnapshotError,
    report::{Arrival, Phases, Report, Rollback},
};
use crate::acts::session::Outcome;
use crate::sys;
use crate::terms::{Ended, Obstacle, SnapshotId, Text};
use crate::threads::timing;
use crate::wire::LISTED;

/// Takes a snapshot. It returns twice: as [`Arrival::Live`] now, and as [`Arrival::Reverted`]
/// when the branch that begins now has ended.
///
/// It first flushes stdout, of Rust's `std` and C's stdio, or both branches would print what is
/// buffered. Cost: a `fork()` and less than 1 ms.
///
/// # Errors
/// See [`SnapshotError`]; then the program is untouched.
pub fn snapshot() -> Result<Arrival, SnapshotError> {
    Snapshot::take().now()
}

/// A snapshot to be taken, with its label.
///
/// ```no_run
/// # use snapshot_core::Snapshot;
/// let arrival = Snapshot::take().label("before the merge").now()?;
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is taken until `now`"]
pub struct Snapshot<'a> {
    label: &'a str,
}

impl<'a> Snapshot<'a> {
    /// Begins a take.
    pub fn take() -> Self {
        Self { label: "" }
    }

    /// Sets the snapshot's label. Only a launcher keeps labels, up to 160 bytes.
    pub fn label(mut self, label: &'a str) -> Self {
        self.label = label;
        self
    }

    /// Takes it; see [`snapshot`].
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn now(self) -> Result<Arrival, SnapshotError> {
        flush_output();
        match agent() {
            Some(agent) => take_by(agent, self.label),
            None => take_alone(),
        }
    }
}

/// Ends this branch: the program goes on from the newest snapshot. No destructors and no exit
/// handlers run: what they would clean up belongs to the snapshot as well.
///
/// # Errors
/// It returns only with an error: there is no snapshot, or this is not the live process.
pub fn revert() -> Result<Infallible, SnapshotError> {
    Err(revert_by_number(0))
}

/// Ends this branch and the snapshots newer than `id`: the program goes on from `id`.
///
/// # Errors
/// As [`revert`].
pub fn revert_to(id: SnapshotId) -> Result<Infallible, SnapshotError> {
    Err(revert_by_number(id.number()))
}

/// Drops every snapshot, so that all changes since are final.
///
/// # Errors
/// See [`SnapshotError`].
pub fn commit() -> Result<(), SnapshotError> {
    match agent() {
        Some(agent) => done(&agent.call(bridge::CALL_COMMIT, 0, "")).map(drop),
        None => {
            live_alone()?;
            alone::forget(None);
            Ok(())
        }
    }
}

/// Forgets one snapshot; the others stay.
///
/// # Errors
/// [`SnapshotError::NoSuchSnapshot`] if there is no such snapshot.
pub fn drop_snapshot(id: SnapshotId) -> Result<(), SnapshotError> {
    match agent() {
        Some(agent) => done(&agent.call(bridge::CALL_DROP, id.number(), "")).map(drop),
        None => {
            live_alone()?;
            if alone::forget(Some(id.number())) {
                Ok(())
            } else {
                Err(SnapshotError::NoSuchSnapshot)
            }
        }
    }
}

/// The snapshots under this process, oldest first. At most 32 are listed.
///
/// # Errors
/// See [`SnapshotError`].
pub fn list() -> Result<Vec<SnapshotId>, SnapshotError> {
    let (_, ids) = listing()?;
    Ok(ids
        .into_iter()
        .take_while(|&id| id != 0)
        .map(SnapshotId::new)
        .collect())
}

/// How many snapshots lie under this process. 0 means that nothing can be undone, and is the
/// answer for a process that was never snapshotted.
pub fn depth() -> u32 {
    listing().map_or(0, |(depth, _)| depth)
}

/// Whether what happens now may be undone.
pub fn is_in_snapshot() -> bool {
    depth() > 0
}

/// Where the time of this program's last snapshot went; zeros if there was none.
pub fn last_phases() -> Phases {
    let micros: [u64; timing::PHASES] = match agent() {
        Some(agent) => {
            let answer = agent.call(bridge::CALL_PHASES, 0, "");
            core::array::from_fn(|phase| answer.ids.get(phase).map_or(0, |&us| u64::from(us)))
        }
        None => timing::phases_ns().map(|ns| ns / 1000),
    };
    let [park, record, split, complete, release, leave] = micros.map(Duration::from_micros);
    Phases {
        park,
        record,
        split,
        complete,
        release,
        leave,
    }
}

/// Who keeps this program's snapshots.
pub fn rollback() -> Rollback {
    if agent().is_some() {
        Rollback::Session
    } else {
        Rollback::Alone
    }
}

/// For the library alone: SIGUSR1 takes a snapshot, and SIGINT reverts to the newest one, or
/// keeps its old meaning if there is none. Under a launcher this does nothing, since the agent
/// serves these signals already.
///
/// # Errors
/// [`SnapshotError::Failed`] if the kernel refuses a handler.
pub fn install_handlers() -> Result<(), SnapshotError> {
    if agent().is_some() {
        return Ok(());
    }
    alone::install_handlers().map_err(|errno| SnapshotError::Failed {
        doing: "installing its signal handlers",
        errno: errno.0,
    })
}

/// The agent in this process.
#[derive(Clone, Copy)]
struct Agent {
    entry: Entry,
}

impl Agent {
    fn call(self, verb: u32, id: u32, label: &str) -> Answer {
        let call = Call {
            verb,
            id,
            label: label.as_ptr(),
            label_length: label.len(),
        };
        let mut answer = Answer::EMPTY;
        // SAFETY: the entry has this signature, by its versioned name; both structures are live
        // locals.
        unsafe { (self.entry)(&raw const call, &raw mut answer) };
        answer
    }
}

fn agent() -> Option<Agent> {
    static FOUND: OnceLock<Option<Agent>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: dlsym takes a NUL-terminated name, which a CStr is.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, bridge::SYMBOL.as_ptr()) };
        if symbol.is_null() {
            return None;
        }
        // SAFETY: only the agent exports this versioned name, with this signature.
        let entry = unsafe { std::mem::transmute::<*mut libc::c_void, Entry>(symbol) };
        Some(Agent { entry })
    })
}

fn take_by(agent: Agent, label: &str) -> Result<Arrival, SnapshotError> {
    let answer = agent.call(bridge::CALL_TAKE, 0, Text::new(label).as_str());
    let id = SnapshotId::new(answer.id);
    match answer.verdict {
        bridge::ANSWER_LIVE => Ok(Arrival::Live(id)),
        bridge::ANSWER_REVIVED => Ok(Arrival::Reverted(Report {
            id,
            ended: u8::try_from(answer.ended)
                .ok()
                .and_then(|how| Ended::from_numbers(how, answer.number))
                .unwrap_or(Ended::Interrupted),
            latency: Duration::from_nanos(answer.latency_ns),
            not_restored: answer.count,
            rollback: Rollback::Session,
        })),
        _ => Err(error(&answer, SnapshotError::Refused)),
    }
}

fn error(answer: &Answer, denied: SnapshotError) -> SnapshotError {
    match answer.verdict {
        bridge::ANSWER_OBSTACLE => hindered(answer.obstacle()),
        bridge::ANSWER_FAILED => SnapshotError::Failed {
            doing: "speaking to the launcher",
            errno: answer.number,
        },
        bridge::ANSWER_NOT_LIVE => SnapshotError::NotTheLiveProcess,
        _ => denied,
    }
}

fn hindered(obstacle: Option<Obstacle>) -> SnapshotError {
    match obstacle {
        Some(Obstacle::Unparked(thread)) => SnapshotError::Thread {
            tid: thread.tid,
            doing: thread.why.doing(),
        },
        Some(Obstacle::TooManyThreads(most)) => SnapshotError::TooManyThreads(most),
        Some(Obstacle::Libc(disagreement)) => SnapshotError::Libc {
            what: disagreement.what(),
        },
        Some(Obstacle::Failed(step, errno)) => SnapshotError::Failed {
            doing: step.doing(),
            errno,
        },
        None => SnapshotError::Refused,
    }
}

fn done(answer: &Answer) -> Result<(u32, [u32; LISTED]), SnapshotError> {
    if answer.verdict == bridge::ANSWER_LIST {
        Ok((answer.count, answer.ids))
    } else {
        Err(error(answer, SnapshotError::NoSuchSnapshot))
    }
}

fn listing() -> Result<(u32, [u32; LISTED]), SnapshotError> {
    match agent() {
        Some(agent) => done(&agent.call(bridge::CALL_LIST, 0, "")),
        None => live_alone().map(|()| alone::list()),
    }
}

fn live_alone() -> Result<(), SnapshotError> {
    if alone::is_live() {
        Ok(())
    } else {
        Err(SnapshotError::NotTheLiveProcess)
    }
}

fn revert_by_number(number: u32) -> SnapshotError {
    match agent() {
        Some(agent) => error(
            &agent.call(bridge::CALL_REVERT, number, ""),
            SnapshotError::NoSuchSnapshot,
        ),
        None => match live_alone() {
            Ok(()) => {
                alone::revert(number, Ended::Reverted);
                SnapshotError::NoSuchSnapshot
            }
            Err(error) => error,
        },
    }
}

fn take_alone() -> Result<Arrival, SnapshotError> {
    live_alone()?;
    // SAFETY: this is ordinary context. Other threads hold their locks in both processes, and
    // exist in both to release them.
    match unsafe { alone::take() } {
        Outcome::Live { id } => Ok(Arrival::Live(SnapshotId::new(id))),
        Outcome::Revived {
            id,
            asked_ns,
            ended,
            not_restored,
        } => Ok(Arrival::Reverted(Report {
            id: SnapshotId::new(id),
            ended,
            latency: Duration::from_nanos(sys::now_ns().saturating_sub(asked_ns)),
            not_restored,
            rollback: Rollback::Alone,
        })),
        Outcome::Refused(Some(obstacle)) => Err(hindered(Some(obstacle))),
        Outcome::Refused(None) => Err(SnapshotError::Refused),
    }
}

/// Flushes buffered output, or both branches would write it.
fn flush_output() {
    // A closed stdout is the program's business, and doesn't prevent a snapshot.
    let _ = std::io::stdout().flush();
    // A snapshot signal during fflush would find stdio's locks taken, but takes none itself.
    // SAFETY: a null stream means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}
