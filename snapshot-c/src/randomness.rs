//! New seeds for random generators after a revert.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "exports functions to C")]

use std::ffi::c_int;

use crate::border::guarded;

/// Gives the generators that the whole process shares new seeds from the kernel: `rand()` and
/// `random()`, and OpenSSL's in every libcrypto that is loaded as a shared library, for all its threads.
/// Two branches from one snapshot draw the same numbers else, and so the same secrets. Generators that
/// the program keeps itself are its own to seed, in a `snapshot_on_revert` hook or by
/// `snapshot_reverts`. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_reseed() -> c_int {
    guarded(|| {
        snapshot_core::reseed()?;
        Ok(0)
    })
}

/// Whether each revert reseeds: it does what `snapshot_reseed` does, before all `snapshot_on_revert`
/// hooks, and memory that is marked to be wiped in copies (`MADV_WIPEONFORK`) is wiped. It holds for the
/// snapshots that are taken from now on, until it is turned off. Returns 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn snapshot_reseeds(wanted: bool) -> c_int {
    guarded(|| {
        snapshot_core::reseeds(wanted)?;
        Ok(0)
    })
}

/// Writes to `count` how many reverts there were, which no revert takes back. A thread with a generator
/// of its own compares before it draws. Returns 0 or an error.
///
/// # Safety
/// `count` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn snapshot_reverts(count: *mut u32) -> c_int {
    guarded(|| {
        if count.is_null() {
            return Err(crate::error::Failure::argument("`count` is null"));
        }
        let reverts = snapshot_core::reverts()?;
        // SAFETY: by this function's own condition.
        unsafe { count.write(reverts) };
        Ok(0)
    })
}
