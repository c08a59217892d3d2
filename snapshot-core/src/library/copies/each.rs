//! Inputs, each tried in a fresh copy of the program.
//!
//! Context: IN-PROCESS, but for the server, which is AS-SAFE.

use super::{ending::work_and_end, serving::serve};
use crate::library::alone::template::{Role, Server, run_number};
use crate::library::api::{error::SnapshotError, snapshots::must_be_alone};
use crate::terms::Ended;

/// Calls `run` with each of the inputs, each time in a fresh copy of the program, with all its threads
/// and with its kernel objects as they are now. Returns how each copy has ended, in the same order.
///
/// A copy ends with code 0 when `run` returns, and with 101 if it panics. A crash, an exit, a kill: all
/// end the copy alone. Processes that it has started end with it. What it writes to files stays.
///
/// The program stands still meanwhile. SIGINT, SIGTERM, SIGHUP and SIGQUIT end the series, unless the
/// program ignores them: then fewer ends are returned, and the program gets the signal.
///
/// ```no_run
/// use snapshot_core::{Ended, try_each};
/// # fn parse(_: &[u8]) {}
/// let inputs = [b"[1, 2]".as_slice(), b"[[[["];
/// for (input, ended) in inputs.iter().zip(try_each(&inputs, |input| parse(input))?) {
///     if ended != Ended::Exited(0) {
///         println!("{input:?}: {ended}");
///     }
/// }
/// # Ok::<(), snapshot_core::SnapshotError>(())
/// ```
///
/// # Errors
/// The program can't be stopped or copied; or it runs in a session, which keeps the program's copies
/// itself ([`SnapshotError::InSession`]).
pub fn try_each<T>(inputs: &[T], mut run: impl FnMut(&T)) -> Result<Vec<Ended>, SnapshotError> {
    must_be_alone()?;
    let mut series = Series {
        ends: Vec::with_capacity(inputs.len()),
        count: inputs.len(),
    };
    match serve(&mut series)? {
        Role::Copy => work_and_end(|| {
            if let Some(input) = inputs.get(run_number() as usize) {
                run(input);
            }
            0
        }),
        Role::Template => Ok(series.ends),
    }
}

struct Series {
    /// Has room for all of them.
    ends: Vec<Ended>,
    count: usize,
}

impl Server for Series {
    fn own(&self) -> &[i32] {
        &[]
    }

    fn source(&self) -> i32 {
        -1
    }

    fn next(&mut self) -> bool {
        self.ends.len() < self.count
    }

    fn may_go_back(&self) -> bool {
        true
    }

    fn ended(&mut self, ended: Ended, _: u32) {
        self.ends.push(ended);
    }
}
