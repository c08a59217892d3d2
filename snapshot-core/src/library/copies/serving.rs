//! The program becomes a template.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "becomes a template")]

use crate::library::alone::template::{self, Role, Server};
use crate::library::api::{agent::hindered, error::SnapshotError, snapshots::flush_output};

/// Serves until there is no further request: returns once in the template, and once in each copy. Output that
/// waits is flushed before, or each copy would write it.
///
/// # Errors
/// The program can't be stopped, recorded or copied. Then it goes on as before.
pub(super) fn serve(server: &mut dyn Server) -> Result<Role, SnapshotError> {
    flush_output();
    // SAFETY: this is ordinary context.
    unsafe { template::serve(server) }.map_err(|obstacle| hindered(Some(obstacle)))
}
