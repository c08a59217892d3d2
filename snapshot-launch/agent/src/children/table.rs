//! The table of each child that a snapshot has seen: its end, or its last stop or continue. The
//! supervisor, the live process and its copies share it.
//!
//! Context: AS-SAFE. [`begin`] is IN-PROCESS, before `main`.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use snapshot_core::process::{children::Table, notices::Notices};
use snapshot_core::sys;

use crate::session;

static TABLE: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

/// Maps the table of a descriptor, and closes the descriptor.
pub(super) fn begin(descriptor: c_int) {
    // SAFETY: the supervisor has made it for this, and sealed its length.
    if let Ok(table) = unsafe { Table::map(descriptor) } {
        TABLE.store(ptr::from_ref(table).cast_mut(), Ordering::Release);
    }
    sys::close(descriptor);
}

/// The table, if this is the live process and the table has any child.
pub(crate) fn table() -> Option<&'static Table> {
    // SAFETY: null, or mapped until this process ends.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() }?;
    (!table.is_empty() && session::is_live()).then_some(table)
}

/// What the program's library hears.
pub(crate) fn notices() -> Option<&'static Notices> {
    // SAFETY: as above.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() };
    table.map(Table::notices)
}

/// Counts the events of adopted children.
pub(super) fn changes() -> u32 {
    // SAFETY: as above.
    let table = unsafe { TABLE.load(Ordering::Acquire).as_ref() };
    table.map_or(0, Table::changes)
}
