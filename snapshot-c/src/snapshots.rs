//! Take, revert, commit, drop, list, and where the program stands.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::ffi::{c_char, c_int, c_uint};

use snapshot_core::{Arrival, Snapshot, SnapshotError, SnapshotId};

use crate::border::{Out, guarded, text_at};
use crate::error::Failure;
use crate::report::{number_of, snapshot_report};

/// The snapshot was taken, and this is the live process.
pub const SNAPSHOT_LIVE: c_int = 1;
/// The program is back in the snapshot: the branch that followed it has ended.
pub const SNAPSHOT_REVERTED: c_int = 2;

/// Takes a snapshot. It returns twice: `SNAPSHOT_LIVE` now, and `SNAPSHOT_REVERTED` when the branch
/// that begins now has ended. On an error the program is untouched.
///
/// `label` (UTF-8, up to 160 bytes of it are shown) and `report` may be null.
///
/// It first flushes stdio, or both branches would write what is buffered.
///
/// # Safety
/// `label` must be null or NUL-terminated, `report` null or a structure with its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_take(
    label: *const c_char,
    report: *mut snapshot_report,
) -> c_int {
    // SAFETY: by this function's own condition.
    unsafe { snapshot_take_in_context(label, std::ptr::null(), report) }
}

/// The same, and remembers what the program was about to do, for `snapshot_describe`. `context` may
/// be null.
///
/// # Safety
/// As `snapshot_take`; `context` must be null or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_take_in_context(
    label: *const c_char,
    context: *const c_char,
    report: *mut snapshot_report,
) -> c_int {
    guarded(|| {
        // SAFETY: by this function's own condition.
        let out = unsafe { Out::at(report) }?;
        // SAFETY: by this function's own condition.
        let label = unsafe { text_at(label) };
        // SAFETY: by this function's own condition.
        let context = unsafe { text_at(context) };
        match Snapshot::take().label(&label).context(&context).now()? {
            Arrival::Live(id) => {
                out.fill(snapshot_report::live(id));
                Ok(SNAPSHOT_LIVE)
            }
            Arrival::Reverted(report) => {
                out.fill(snapshot_report::reverted(&report));
                Ok(SNAPSHOT_REVERTED)
            }
        }
    })
}

/// Ends this branch: the program goes on from the newest snapshot. No destructors and no exit
/// handlers run. It returns only with an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_revert() -> c_int {
    guarded(|| {
        let Err(error) = snapshot_core::revert();
        Err(error.into())
    })
}

/// Ends this branch and the snapshots newer than `id`: the program goes on from `id`. It returns
/// only with an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_revert_to(id: u32) -> c_int {
    guarded(|| {
        let Err(error) = snapshot_core::revert_to(known(id)?);
        Err(error.into())
    })
}

/// Drops every snapshot, so that all changes since are final. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_commit() -> c_int {
    guarded(|| {
        snapshot_core::commit()?;
        Ok(0)
    })
}

/// Forgets one snapshot; the others stay. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_drop(id: u32) -> c_int {
    guarded(|| {
        snapshot_core::drop_snapshot(known(id)?)?;
        Ok(0)
    })
}

/// Writes the numbers of the snapshots under this process, oldest first, at most `capacity` of them.
/// Returns how many there are (at most 32 are listed), or an error. `ids` may be null if `capacity`
/// is 0.
///
/// # Safety
/// `ids` must have room for `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_list(ids: *mut u32, capacity: usize) -> c_int {
    guarded(|| {
        if ids.is_null() && capacity > 0 {
            return Err(Failure::argument("`ids` is null"));
        }
        let all = snapshot_core::list()?;
        for (at, taken) in all.iter().enumerate().take(capacity) {
            // SAFETY: `at` is less than the capacity.
            let place = unsafe { ids.add(at) };
            // SAFETY: by this function's own condition.
            unsafe { place.write(taken.id.number()) };
        }
        Ok(c_int::try_from(all.len()).unwrap_or(c_int::MAX))
    })
}

/// How many snapshots lie under this process. 0 means that nothing can be undone.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_depth() -> c_uint {
    depth()
}

/// Whether what happens now may be undone.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_is_in_snapshot() -> bool {
    depth() > 0
}

/// Who keeps this program's snapshots: `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_rollback() -> c_int {
    guarded(|| Ok(number_of(snapshot_core::rollback())))
}

/// For a program alone: SIGUSR1 takes a snapshot, and SIGINT reverts to the newest one, or keeps its
/// old meaning if there is none. Under a launcher this does nothing: it serves these signals
/// already. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_install_handlers() -> c_int {
    guarded(|| {
        snapshot_core::install_handlers()?;
        Ok(0)
    })
}

/// The library's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// 0 is no snapshot's number.
fn known(id: u32) -> Result<SnapshotId, Failure> {
    match id {
        0 => Err(SnapshotError::NoSuchSnapshot.into()),
        _ => Ok(SnapshotId::new(id)),
    }
}

fn depth() -> u32 {
    let depth = std::panic::catch_unwind(snapshot_core::depth);
    depth.unwrap_or(0)
}
