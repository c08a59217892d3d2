//! The functions that a program calls. Under a launcher they call the preloaded agent; alone
//! they work in the classic orientation.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "takes alone, and flushes what C has buffered")]

use std::convert::Infallible;
use std::io::Write;
use std::panic::Location;
use std::time::Duration;

use super::{
    agent::{Agent, error, hindered},
    error::SnapshotError,
    hooks,
    listing::live_alone,
    pending,
    report::{Arrival, Phases, Report, Rollback},
    taken::{self, Taken},
};
use crate::acts::session::Outcome;
use crate::library::{alone, bridge};
use crate::sys;
use crate::terms::{Ended, SnapshotId, Text};
use crate::threads::timing;

/// Takes a snapshot. It returns twice: as [`Arrival::Live`] now, and as [`Arrival::Reverted`]
/// when the branch that begins now has ended.
///
/// It first flushes stdout, of Rust's `std` and C's stdio, or both branches would print what is
/// buffered. Cost: a `fork()` and less than 1 ms.
///
/// # Errors
/// See [`SnapshotError`]; then the program is untouched.
#[track_caller]
pub fn snapshot() -> Result<Arrival, SnapshotError> {
    Snapshot::take().now()
}

/// A snapshot to be taken, with its label.
///
/// ```no_run
/// # use snapshot_core::Snapshot;
/// let arrival = Snapshot::take()
///     .label("before the merge")
///     .context("branch feature, 4 commits")
///     .now()?;
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is taken until `now`"]
pub struct Snapshot<'a> {
    label: &'a str,
    context: &'a str,
}

impl<'a> Snapshot<'a> {
    /// Begins a take.
    pub fn take() -> Self {
        Self {
            label: "",
            context: "",
        }
    }

    /// Sets the snapshot's label. A launcher shows it too, up to 160 bytes.
    pub fn label(mut self, label: &'a str) -> Self {
        self.label = label;
        self
    }

    /// Sets what [`crate::list`] says about it: what the program was about to do, for example.
    pub fn context(mut self, context: &'a str) -> Self {
        self.context = context;
        self
    }

    /// Takes it; see [`snapshot`].
    ///
    /// # Errors
    /// See [`SnapshotError`].
    #[track_caller]
    pub fn now(self) -> Result<Arrival, SnapshotError> {
        self.now_at(Location::caller())
    }

    /// The same for a caller at this place.
    pub(super) fn now_at(
        self,
        place: &'static Location<'static>,
    ) -> Result<Arrival, SnapshotError> {
        hooks::before_take()?;
        flush_output();
        let taking = hooks::Taking::begin();
        let taken = match Agent::here() {
            Some(agent) => take_by(agent, self.label),
            None => take_alone(),
        };
        if let Ok(arrival) = &taken {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            taken::remember(Taken {
                id: match arrival {
                    Arrival::Live(id) => *id,
                    Arrival::Reverted(report) => report.id,
                },
                label: some(self.label),
                context: some(self.context),
                place: Some(place),
            });
        }
        let run = hooks::after_revert();
        drop(taking);
        // A snapshot from outside may have been taken just before the drop, and reverted to.
        run.and_then(|()| hooks::after_revert())?;
        let arrival = taken?;
        if let Arrival::Reverted(_) = &arrival {
            pending::settle()?;
        }
        Ok(arrival)
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
    hooks::must_not_run()?;
    match Agent::here() {
        Some(agent) => agent.ask(bridge::CALL_COMMIT, 0).map(drop)?,
        None => {
            live_alone()?;
            alone::forget(None);
        }
    }
    pending::settle()
}

/// Forgets one snapshot; the others stay.
///
/// # Errors
/// [`SnapshotError::NoSuchSnapshot`] if there is no such snapshot.
pub fn drop_snapshot(id: SnapshotId) -> Result<(), SnapshotError> {
    hooks::must_not_run()?;
    match Agent::here() {
        Some(agent) => agent.ask(bridge::CALL_DROP, id.number()).map(drop)?,
        None => {
            live_alone()?;
            if !alone::forget(Some(id.number())) {
                return Err(SnapshotError::NoSuchSnapshot);
            }
        }
    }
    pending::settle()
}

/// Where the time of this program's last snapshot went; zeros if there was none.
pub fn last_phases() -> Phases {
    let micros: [u64; timing::PHASES] = match Agent::here() {
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
    if Agent::here().is_some() {
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
    if Agent::here().is_some() {
        return Ok(());
    }
    alone::install_handlers().map_err(|errno| SnapshotError::Failed {
        doing: "installing its signal handlers",
        errno: errno.0,
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

fn revert_by_number(number: u32) -> SnapshotError {
    if let Err(error) = hooks::must_not_run() {
        return error;
    }
    match Agent::here() {
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

/// # Errors
/// [`SnapshotError::InSession`] under a launcher; in a hook, or in a child that the program has forked,
/// what a take says.
pub(in crate::library) fn must_be_alone() -> Result<(), SnapshotError> {
    hooks::must_not_run()?;
    if Agent::here().is_some() {
        return Err(SnapshotError::InSession);
    }
    live_alone()
}

/// Flushes buffered output, or both branches would write it.
pub(in crate::library) fn flush_output() {
    // A closed stdout is the program's business, and doesn't prevent a snapshot.
    let _ = std::io::stdout().flush();
    // A snapshot signal during fflush would find stdio's locks taken, but takes none itself.
    // SAFETY: a null stream means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}
