//! The program sets a signal's action by libc: what the engine needs around that, once the kernel
//! asks the journal about calls ([`snapshot_core::threads::shielded`]).
//!
//! Context: AS-SAFE.

use core::ffi::c_int;

use snapshot_core::threads::{
    shielded::{self, AsSet},
    withdrawn,
};

use super::dispositions::alone;

/// Sets a signal's action by `set`. Also returns what tells the program's own handler from the
/// one that the kernel had before.
pub(crate) fn around<T>(signal: c_int, set: impl FnOnce() -> T) -> (T, AsSet) {
    let change = || {
        let before = AsSet::look(signal);
        let answer = set();
        // Looks again: a take may have been made meanwhile.
        shielded::shield(signal);
        (answer, before)
    };
    if withdrawn::may_be() {
        alone(change)
    } else {
        change()
    }
}
